/* Carries out operations on many tokens at once, with AVX-512 and BF16: EMBED and NORM here, the others in files of
 * their own. A token's numbers must not depend on which others are in the call, nor on the number of threads. */
#include "prefill.h"

#ifdef HAVE_AVX512
#include "panels.h"

/* Without memory, this only measures: *at ends behind all that is needed. */
static void layout_scratch(char *memory, size_t *at, const Workspace *workspace, PrefillScratch *prefill,
                           int n_threads) {
    size_t columns = (size_t)padded(workspace->columns), d = (size_t)padded(workspace->d_head), size = sizeof(uint16_t);
    uint16_t *vnni = carve(memory, at, MAX_PREFILL_TOKENS * columns * size);
    if (prefill) prefill->vnni = vnni;
    for (int thread = 0; thread < n_threads; thread++) {
        PrefillThreadScratch scratch;
        for (int i = 0; i < 2; i++) scratch.rows[i] = carve(memory, at, ROWS * columns * size);
        scratch.row = carve(memory, at, columns * sizeof(float));
        scratch.rope = carve(memory, at, d * PANEL * sizeof(float));
        scratch.keys = carve(memory, at, PREFILL_KV_BLOCK * d * size);
        scratch.values = carve(memory, at, PREFILL_KV_BLOCK * d * size);
        scratch.queries = carve(memory, at, GROUP_HEADS * d * PANEL * size);
        scratch.probs = carve(memory, at, GROUP_HEADS * PREFILL_KV_BLOCK * PANEL * size);
        scratch.scores = carve(memory, at, 2 * PREFILL_KV_BLOCK * PANEL * sizeof(float));
        scratch.acc = carve(memory, at, GROUP_HEADS * d * PANEL * sizeof(float));
        if (prefill) prefill->threads[thread] = scratch;
    }
}

static PrefillScratch *prefill_scratch_new(const Workspace *workspace) {
    int n_threads = threadpool_size(workspace->threadpool);
    size_t size = 0, at = 0;
    layout_scratch(NULL, &size, workspace, NULL, n_threads);
    PrefillScratch *prefill = calloc(1, sizeof *prefill + (size_t)n_threads * sizeof *prefill->threads);
    void *memory = aligned_alloc(64, size);
    if (!prefill || !memory) {
        free(prefill);
        free(memory);
        return NULL;
    }
    prefill->memory = memory;
    layout_scratch(memory, &at, workspace, prefill, n_threads);
    return prefill;
}

static void embed(const Operation *op, const Run *run, PrefillThreadScratch *scratch, int thread, int n_threads) {
    int32_t first, last;
    thread_range(panels_of(run), thread, n_threads, &first, &last);
    for (int32_t t = first * PANEL; t < last * PANEL; t++) {
        float *to = panel_at(op->output, t / PANEL) + t % PANEL;
        for (int32_t f = 0; f < op->width; f++) to[(int64_t)f * PANEL] = 0.0f;
        for (int32_t m = 0; m < op->n_matrices && t < run->n_tokens; m++) {
            float scale = m ? 1.0f : op->scale;
            kernels_avx512.get_row(op->matrices + m, m ? run->start + t : (int32_t)run->tokens[t], scratch->row);
            for (int32_t f = 0; f < op->width; f++) to[(int64_t)f * PANEL] += scratch->row[f] * scale;
        }
    }
}

static void norm(const Operation *op, const Run *run, int thread, int n_threads) {
    int32_t first, last;
    thread_range(panels_of(run), thread, n_threads, &first, &last);
    for (int32_t p = first; p < last; p++) {
        const float *x = panel_at(op->input, p);
        float *out = panel_at(op->output, p);
        NormStats stats = norm_stats(&op->norm, x, op->width);
        for (int32_t f = 0; f < op->width; f++) {
            vf v = op->scale * normalize_feature(&op->norm, op->norm.weight, stats, x, f);
            store(out + f * PANEL, op->add ? load(out + f * PANEL) + v : v);
        }
        int32_t count = tokens_in(run, p);
        uint16_t *hidden = (uint16_t *)run->hidden + (int64_t)p * PANEL * op->width;
        if (op->store_hidden) store_tokens(out, op->width, count, hidden, op->width);
    }
}

typedef struct {
    Workspace *workspace;
    const Operation *operations;
    int32_t n_operations;
    const Run *run;
    int amx, done;
} PrefillJob;

/* By a thread of the pool, as another caller may wait for this. */
static void prepare_scratch(Workspace *workspace, int amx) {
    if (!workspace->prefill) workspace->prefill = prefill_scratch_new(workspace);
    if (workspace->prefill) workspace->prefill->gemm = amx ? gemm_amx : gemm_avx512;
}

static void prefill_thread(void *argument, int thread) {
    PrefillJob *job = argument;
    const Run *run = job->run;
    Workspace *workspace = job->workspace;
    int n_threads = threadpool_size(workspace->threadpool);
    if (thread == 0) prepare_scratch(workspace, job->amx);
    threadpool_barrier(workspace->threadpool);
    if (!workspace->prefill) return;
    PrefillThreadScratch *scratch = workspace->prefill->threads + thread;
    if (job->amx) amx_begin();
    for (int32_t i = 0; i < job->n_operations; i++) {
        const Operation *op = job->operations + i;
        switch (op->kind) {
            case EMBED: embed(op, run, scratch, thread, n_threads); break;
            case LINEAR: prefill_linear(op, run, workspace, thread, n_threads); break;
            case NORM: norm(op, run, thread, n_threads); break;
            case ROPE_STORE_KV: prefill_rope_store_kv(op, run, workspace->prefill, thread, n_threads); break;
            case ATTEND: prefill_attend(op, run, workspace->prefill, thread, n_threads); break;
        }
        if (i + 1 < job->n_operations) threadpool_barrier(workspace->threadpool);
    }
    if (job->amx) amx_end();
    if (thread == 0) job->done = 1;
}

int prefill_run(Workspace *workspace, const Operation *operations, int32_t n_operations, const Run *run, int amx) {
    PrefillJob job = {workspace, operations, n_operations, run, amx, 0};
    threadpool_run(workspace->threadpool, prefill_thread, &job);
    return job.done;
}

void prefill_scratch_free(PrefillScratch *prefill) {
    if (!prefill) return;
    free(prefill->memory);
    free(prefill);
}

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
int prefill_run(Workspace *workspace, const Operation *operations, int32_t n_operations, const Run *run, int amx) {
    (void)workspace, (void)operations, (void)n_operations, (void)run, (void)amx;
    return 0;
}
void prefill_scratch_free(PrefillScratch *prefill) { (void)prefill; }
#endif
