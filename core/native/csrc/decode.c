/* Carries out the operations of a step on all threads of a pool. Knows no instruction set and no family of models.
 *
 * Every operation is split between the threads by rows of a matrix or by heads, each of which one thread computes from
 * beginning to end: so the numbers do not depend on how many threads there are. After each operation the threads meet. */
#include <stdlib.h>
#include <string.h>

#include "prefill.h"
#include "decode.h"

typedef struct {
    Pool *pool;
    const Operation *operations;
    int32_t n_operations;
    const Run *run;
} Step;

/* --- memory ---------------------------------------------------------------------------------------------------- */

static void lay_out(char *memory, size_t *at, Scratch *scratch, int32_t columns, int32_t d_head) {
    Scratch measured;
    if (!scratch) scratch = &measured;
    size_t padded_columns = ((size_t)columns + 63) / 64 * 64, groups = padded_columns / GROUP;
    for (int t = 0; t < MAX_STEP_TOKENS; t++) {
        Input *input = scratch->inputs + t;
        input->values = piece(memory, at, padded_columns * sizeof(float));
        input->halves = piece(memory, at, padded_columns * sizeof(uint16_t));
        input->quants = piece(memory, at, padded_columns);
        input->rests = piece(memory, at, padded_columns);
        input->scales = piece(memory, at, groups * sizeof(float));
        input->sums = piece(memory, at, groups * sizeof(int32_t));
    }
    scratch->attending = piece(memory, at, (size_t)attend_scratch(d_head) * sizeof(float));
}

Pool *logitscope_pool(int32_t n_threads, int32_t columns, int32_t d_head) {
    Pool *pool = calloc(1, sizeof(Pool) + (size_t)n_threads * sizeof(Scratch));
    if (!pool) return NULL;
    size_t each = 0;
    lay_out(NULL, &each, NULL, columns, d_head);
    pool->memory = aligned_alloc(64, each * (size_t)n_threads);
    pool->team = team_new(n_threads);
    if (!pool->memory || !pool->team) {
        logitscope_free(pool);
        return NULL;
    }
    pool->columns = columns;
    pool->d_head = d_head;
    memset(pool->memory, 0, each * (size_t)n_threads);
    size_t at = 0;
    for (int thread = 0; thread < n_threads; thread++)
        lay_out(pool->memory, &at, pool->scratch + thread, columns, d_head);
    return pool;
}

void logitscope_free(Pool *pool) {
    if (!pool) return;
    team_free(pool->team);
    many_free(pool->many);
    free(pool->memory);
    free(pool);
}

/* --- operations ------------------------------------------------------------------------------------------------ */

static void embed(const Operation *op, const Run *run) {
    for (int32_t t = 0; t < run->n_tokens; t++) {
        float *x = row_of(op->output, t);
        kernels->row(op->matrices, (int32_t)run->tokens[t], x);
        for (int32_t i = 0; i < op->width; i++) x[i] *= op->scale;
        if (op->n_matrices < 2) continue;
        float *place = row_of(op->input, t);
        kernels->row(op->matrices + 1, run->start + t, place);
        for (int32_t i = 0; i < op->width; i++) x[i] += place[i];
    }
}

static void norm(const Operation *op, const Run *run, Scratch *scratch) {
    for (int32_t t = 0; t < run->n_tokens; t++) {
        float *normed = scratch->inputs[0].values, *out = row_of(op->output, t);
        const float *in = row_of(op->input, t);
        if (op->norm.kind == NO_NORM) memcpy(normed, in, (size_t)op->width * sizeof(float));
        else kernels->normalise(&op->norm, op->norm.weight, in, op->width, normed);
        for (int32_t i = 0; i < op->width; i++) out[i] = (op->add ? out[i] : 0.0f) + op->scale * normed[i];
        if (op->keep) kernels->write(out, op->width, run->format, run->hidden, (int64_t)t * op->width);
    }
}

static void recall(const Operation *op, const Run *run) {
    for (int32_t t = 0; t < run->n_tokens; t++)
        kernels->read(run->hidden, (int64_t)t * op->width, op->width, run->format, row_of(op->output, t));
}

/* Where the key or value of a position begins in its slab. */
static int64_t place_of(const Heads *heads, const Run *run, int32_t kv_head, int64_t position) {
    return (((int64_t)heads->layer * heads->n_kv_heads + kv_head) * run->capacity + position) * heads->d_head;
}

static void turn(const Heads *heads, const Run *run, float *x, int32_t token) {
    if (heads->turns < 0) return;
    int32_t half = heads->rotary_width / 2;
    int64_t at = (int64_t)(run->start + token) * half;
    kernels->turn(x, run->cos[heads->turns] + at, run->sin[heads->turns] + at, half);
}

static void normalise_head(const Heads *heads, const Norm *norm, int32_t head, float *x) {
    if (norm->kind == NO_NORM) return;
    const float *weight = norm->weight + (heads->norm_per_head ? (int64_t)head * heads->d_head : 0);
    kernels->normalise(norm, weight, x, heads->d_head, x);
}

static void queries_keys_values(const Operation *op, const Run *run, int thread, int threads) {
    const Heads *heads = &op->heads;
    int32_t d = heads->d_head, each = heads->n_heads + heads->n_kv_heads, first, last;
    share(run->n_tokens * each, thread, threads, &first, &last);
    for (int32_t n = first; n < last; n++) {
        int32_t token = n / each, head = n % each, kv_head = head - heads->n_heads;
        float *x = row_of(op->input, token) + (int64_t)head * d;
        normalise_head(heads, kv_head < 0 ? &heads->query_norm : &heads->key_norm, kv_head < 0 ? head : kv_head, x);
        turn(heads, run, x, token);
        if (kv_head < 0) continue;
        int64_t place = place_of(heads, run, kv_head, run->start + token);
        kernels->write(x, d, run->format, run->keys, place);
        kernels->write(x + (int64_t)heads->n_kv_heads * d, d, run->format, run->values, place);
    }
}

static const void *slab_from(const void *slab, int64_t offset, int32_t format) {
    return (const char *)slab + offset * (format == F32 ? 4 : 2);
}

/* Query heads first up to last, all of one token, go to their key heads in groups. */
static void attend(const Operation *op, const Run *run, Scratch *scratch, int32_t token, int32_t first, int32_t last) {
    const Heads *heads = &op->heads;
    int32_t group = heads->n_heads / heads->n_kv_heads;
    int64_t end = (int64_t)run->start + token + 1, begin = heads->window && end > heads->window ? end - heads->window : 0;
    while (first < last) {
        int32_t kv_head = first / group, n = (kv_head + 1) * group < last ? (kv_head + 1) * group - first : last - first;
        int64_t place = place_of(heads, run, kv_head, 0), channels = (int64_t)first * heads->d_head;
        Attending attending = {
            .queries = row_of(op->input, token) + channels,
            .n_heads = n,
            .d_head = heads->d_head,
            .format = run->format,
            .keys = slab_from(run->keys, place, run->format),
            .values = slab_from(run->values, place, run->format),
            .first = begin,
            .last = end,
            .scale = heads->scale,
            .softcap = heads->softcap,
            .scratch = scratch->attending,
            .out = row_of(op->output, token) + channels,
        };
        kernels->attend(&attending);
        first += n;
    }
}

static void attend_all(const Operation *op, const Run *run, Scratch *scratch, int thread, int threads) {
    int32_t first, last, n = op->heads.n_heads;
    share(run->n_tokens * n, thread, threads, &first, &last);
    while (first < last) {
        int32_t token = first / n, end = (token + 1) * n < last ? (token + 1) * n : last;
        attend(op, run, scratch, token, first - token * n, end - token * n);
        first = end;
    }
}

/* --------------------------------------------------------------------------------------------------------------- */

static void work(void *what, int thread) {
    const Step *step = what;
    const Run *run = step->run;
    Team *team = step->pool->team;
    Scratch *scratch = step->pool->scratch + thread;
    for (int32_t i = 0; i < step->n_operations; i++) {
        const Operation *op = step->operations + i;
        int threads = team_size(team);
        switch (op->kind) {
            case LINEAR: linear(op, run, scratch, thread, threads); break;
            case HEADS: queries_keys_values(op, run, thread, threads); break;
            case ATTEND: attend_all(op, run, scratch, thread, threads); break;
            case EXPERTS_IN: experts_in(op, run, scratch, thread, threads); break;
            case EXPERTS_OUT: experts_out(op, run, scratch, thread, threads); break;
            case ROUTE: if (thread == 0) route(op, run); break;
            case EMBED: if (thread == 0) embed(op, run); break;
            case NORM: if (thread == 0) norm(op, run, scratch); break;
            case RECALL: if (thread == 0) recall(op, run); break;
        }
        if (i + 1 < step->n_operations) team_meet(team);
    }
}

void logitscope_run(Pool *pool, const Operation *operations, int32_t n_operations, const Run *run) {
    Step step = {pool, operations, n_operations, run};
    team_do(pool->team, work, &step);
}
