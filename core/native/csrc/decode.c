/* Carries out operations on a few tokens with all threads. Must not know an instruction set or a family of models.
 *
 * Every operation is split between the threads by rows of a matrix or by heads, each of which one thread computes
 * from beginning to end: that must stay, so that the numbers do not depend on how many threads there are. After each
 * operation the threads wait for one another. */
#include <string.h>

#include "decode.h"

typedef struct {
    Workspace *workspace;
    const Operation *operations;
    int32_t n_operations;
    const Run *run;
} DecodeJob;

static void embed(const Operation *op, const Run *run) {
    for (int32_t t = 0; t < run->n_tokens; t++) {
        float *x = row_of(op->output, t);
        kernels->get_row(op->matrices, (int32_t)run->tokens[t], x);
        for (int32_t i = 0; i < op->width; i++) x[i] *= op->scale;
        if (op->n_matrices < 2) continue;
        float *position = row_of(op->input, t);
        kernels->get_row(op->matrices + 1, run->start + t, position);
        for (int32_t i = 0; i < op->width; i++) x[i] += position[i];
    }
}

static void norm(const Operation *op, const Run *run, ThreadScratch *scratch) {
    for (int32_t t = 0; t < run->n_tokens; t++) {
        float *normed = scratch->inputs[0].values, *out = row_of(op->output, t);
        const float *in = row_of(op->input, t);
        if (op->norm.kind == NO_NORM) memcpy(normed, in, (size_t)op->width * sizeof(float));
        else kernels->normalize(&op->norm, op->norm.weight, in, op->width, normed);
        for (int32_t i = 0; i < op->width; i++) out[i] = (op->add ? out[i] : 0.0f) + op->scale * normed[i];
        if (op->store_hidden) kernels->from_float(out, op->width, run->format, run->hidden, (int64_t)t * op->width);
    }
}

static void load_hidden(const Operation *op, const Run *run) {
    for (int32_t t = 0; t < run->n_tokens; t++)
        kernels->to_float(run->hidden, (int64_t)t * op->width, op->width, run->format, row_of(op->output, t));
}

/* Where the key or value of a position begins in its slab. */
static int64_t kv_offset(const Heads *heads, const Run *run, int32_t kv_head, int64_t position) {
    return (((int64_t)heads->layer * heads->n_kv_heads + kv_head) * run->capacity + position) * heads->d_head;
}

static void apply_rope(const Heads *heads, const Run *run, float *x, int32_t token) {
    if (heads->rope_table < 0) return;
    int32_t half = heads->rope_width / 2;
    int64_t at = (int64_t)(run->start + token) * half;
    kernels->rope(x, run->cos[heads->rope_table] + at, run->sin[heads->rope_table] + at, half);
}

static void normalize_head(const Heads *heads, const Norm *norm, int32_t head, float *x) {
    if (norm->kind == NO_NORM) return;
    const float *weight = norm->weight + (heads->norm_per_head ? (int64_t)head * heads->d_head : 0);
    kernels->normalize(norm, weight, x, heads->d_head, x);
}

static void rope_store_kv(const Operation *op, const Run *run, int thread, int n_threads) {
    const Heads *heads = &op->heads;
    int32_t d = heads->d_head, per_token = heads->n_heads + heads->n_kv_heads, first, last;
    thread_range(run->n_tokens * per_token, thread, n_threads, &first, &last);
    for (int32_t n = first; n < last; n++) {
        int32_t token = n / per_token, head = n % per_token, kv_head = head - heads->n_heads;
        float *x = row_of(op->input, token) + (int64_t)head * d;
        normalize_head(heads, kv_head < 0 ? &heads->query_norm : &heads->key_norm, kv_head < 0 ? head : kv_head, x);
        apply_rope(heads, run, x, token);
        if (kv_head < 0) continue;
        int64_t offset = kv_offset(heads, run, kv_head, run->start + token);
        kernels->from_float(x, d, run->format, run->keys, offset);
        kernels->from_float(x + (int64_t)heads->n_kv_heads * d, d, run->format, run->values, offset);
    }
}

static const void *kv_slab_at(const void *slab, int64_t offset, int32_t format) {
    return (const char *)slab + offset * (format == F32 ? 4 : 2);
}

/* Query heads first up to last, all of one token, group by group of those that share a key head. */
static void attend_token(const Operation *op, const Run *run, ThreadScratch *scratch, int32_t token, int32_t first,
                         int32_t last) {
    const Heads *heads = &op->heads;
    int32_t group = heads->n_heads / heads->n_kv_heads;
    int64_t end = (int64_t)run->start + token + 1;
    int64_t begin = heads->window && end > heads->window ? end - heads->window : 0;
    while (first < last) {
        int32_t kv_head = first / group, group_end = (kv_head + 1) * group;
        int32_t n = group_end < last ? group_end - first : last - first;
        int64_t offset = kv_offset(heads, run, kv_head, 0), channels = (int64_t)first * heads->d_head;
        AttentionArgs attention = {
            .queries = row_of(op->input, token) + channels,
            .n_heads = n,
            .d_head = heads->d_head,
            .format = run->format,
            .keys = kv_slab_at(run->keys, offset, run->format),
            .values = kv_slab_at(run->values, offset, run->format),
            .begin = begin,
            .end = end,
            .scale = heads->scale,
            .softcap = heads->softcap,
            .scratch = scratch->attention,
            .out = row_of(op->output, token) + channels,
        };
        kernels->attend(&attention);
        first += n;
    }
}

static void attend(const Operation *op, const Run *run, ThreadScratch *scratch, int thread, int n_threads) {
    int32_t first, last, n = op->heads.n_heads;
    thread_range(run->n_tokens * n, thread, n_threads, &first, &last);
    while (first < last) {
        int32_t token = first / n, end = (token + 1) * n < last ? (token + 1) * n : last;
        attend_token(op, run, scratch, token, first - token * n, end - token * n);
        first = end;
    }
}

static void decode_thread(void *argument, int thread) {
    const DecodeJob *job = argument;
    const Run *run = job->run;
    Threadpool *threadpool = job->workspace->threadpool;
    ThreadScratch *scratch = job->workspace->scratch + thread;
    for (int32_t i = 0; i < job->n_operations; i++) {
        const Operation *op = job->operations + i;
        int n_threads = threadpool_size(threadpool);
        switch (op->kind) {
            case LINEAR: linear(op, run, scratch, thread, n_threads); break;
            case ROPE_STORE_KV: rope_store_kv(op, run, thread, n_threads); break;
            case ATTEND: attend(op, run, scratch, thread, n_threads); break;
            case EXPERTS_UP: experts_up(op, run, scratch, thread, n_threads); break;
            case EXPERTS_DOWN: experts_down(op, run, scratch, thread, n_threads); break;
            case ROUTE: if (thread == 0) route(op, run); break;
            case EMBED: if (thread == 0) embed(op, run); break;
            case NORM: if (thread == 0) norm(op, run, scratch); break;
            case LOAD_HIDDEN: if (thread == 0) load_hidden(op, run); break;
        }
        if (i + 1 < job->n_operations) threadpool_barrier(threadpool);
    }
}

void logitscope_decode(Workspace *workspace, const Operation *operations, int32_t n_operations, const Run *run) {
    DecodeJob job = {workspace, operations, n_operations, run};
    threadpool_run(workspace->threadpool, decode_thread, &job);
}
