/* Carries out the operations of a step on all threads of a pool. Knows no instruction set and no family of models.
 *
 * Every operation is split between the threads by rows of a matrix or by heads, each of which one thread computes from
 * beginning to end: so the numbers do not depend on how many threads there are. After each operation the threads meet. */
#include "step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "many.h"

typedef struct {
    Pool *pool;
    const Operation *operations;
    int32_t n_operations;
    const Run *run;
} Step;

typedef struct {
    Pool *pool;
    const Matrix *matrix;
    int32_t first, count, format;
    char *out;
} Unpacking;

typedef struct {
    Pool *pool;
    const Matrix *matrix;
    int32_t first, count;
    const float *rows;
} Packing;

typedef struct {
    Pool *pool;
    const char *memory;
    int64_t n_bytes;
    volatile float sums[64]; /* so that the compiler does not leave the reading out */
} Reading;

static const Kernels *kernels = &kernels_plain;
static int amx; /* whether many tokens are read with it */

/* --- the processor --------------------------------------------------------------------------------------------- */

static int able(const Kernels *wanted) {
#ifdef HAVE_AVX2
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    if (wanted == &kernels_avx2) return avx2;
#endif
#ifdef HAVE_AVX512
    if (wanted == &kernels_avx512)
        return avx2 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") &&
               __builtin_cpu_supports("avx512bf16");
#endif
#ifdef HAVE_NEON
    if (wanted == &kernels_neon) return 1;
#endif
#ifdef HAVE_DOTPROD
    if (wanted == &kernels_dotprod) return dotprod_is_here();
#endif
    return wanted == &kernels_plain;
}

int32_t logitscope_use(const char *target) {
    if (!target || !strcmp(target, "amx")) {
        int found = logitscope_use("avx512") && amx_is_here();
        amx = found;
        if (found || target) return found;
    }
    const Kernels *known[] = {
#ifdef HAVE_AVX512
        &kernels_avx512,
#endif
#ifdef HAVE_AVX2
        &kernels_avx2,
#endif
#ifdef HAVE_DOTPROD
        &kernels_dotprod,
#endif
#ifdef HAVE_NEON
        &kernels_neon,
#endif
        &kernels_plain};
    amx = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if ((!target || !strcmp(known[i]->name, target)) && able(known[i])) {
            kernels = known[i];
            return 1;
        }
    return 0;
}

static int reads_many(void) {
#ifdef HAVE_AVX512
    return kernels == &kernels_avx512;
#else
    return 0;
#endif
}

const char *logitscope_target(void) { return amx ? "amx" : kernels->name; }

int32_t logitscope_interface(void) { return INTERFACE; }

/* --- memory ---------------------------------------------------------------------------------------------------- */

static void lay_out(char *memory, size_t *at, Scratch *scratch, int32_t columns, int32_t d_head) {
    Scratch measured;
    if (!scratch) scratch = &measured;
    size_t padded_columns = ((size_t)columns + 63) / 64 * 64, groups = padded_columns / GROUP;
    for (int t = 0; t < MAX_TOKENS; t++) {
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

static float *row_of(Rows rows, int32_t token) { return rows.at + (int64_t)token * rows.stride; }

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

/* The forms of an input that so many matrices multiply. `done` is the format it was made ready for last, or -1. */
static int32_t prepare_for(const Matrix *matrices, int32_t n_matrices, int32_t done, Input *input) {
    for (int32_t m = 0; m < n_matrices; m++) {
        if (matrices[m].format != done) kernels->prepare(input, matrices[m].columns, matrices[m].format);
        done = matrices[m].format;
    }
    return done;
}

/* One vector, normalised, in the forms that so many formats of weights multiply. */
static int32_t prepare_one(const float *x, const Norm *norm, const Matrix *matrices, int32_t n_matrices, Input *input) {
    int32_t columns = matrices->columns, whole = (columns + 63) / 64 * 64;
    if (norm->kind == NO_NORM) memcpy(input->values, x, (size_t)columns * sizeof(float));
    else kernels->normalise(norm, norm->weight, x, columns, input->values);
    /* what a wider matrix left behind is no part of this input */
    memset(input->values + columns, 0, (size_t)(whole - columns) * sizeof(float));
    memset(input->halves + columns, 0, (size_t)(whole - columns) * sizeof(uint16_t));
    return prepare_for(matrices, n_matrices, -1, input);
}

/* Bring up to 16 numbers of one token to where they belong. */
static void deliver(const Operation *op, const float *from, int32_t count, float *to) {
    for (int32_t i = 0; i < count; i++) to[i] = (op->add ? to[i] : 0.0f) + op->scale * from[i];
    if (op->softcap > 0.0f) kernels->cap(to, count, op->softcap);
}

static float *target_of(const Operation *op, const Run *run, int32_t token) {
    return op->output.at ? row_of(op->output, token) : run->logits + (int64_t)token * op->output.stride;
}

/* activation(gate) * up, 16 rows of each of n inputs; out (n, 16). Without a gate, activation(up). */
static void gated_block(const Operation *op, const Matrix *gate, const Matrix *up, int32_t first, const Input *inputs,
                        int32_t n, float *out) {
    float other[MAX_TOKENS * ROWS];
    const Block a = {gate ? gate : up, first, inputs, out}, b = {up, first, inputs, other};
    kernels->blocks(&a, gate ? &b : &a, n);
    for (int32_t t = 0; t < n; t++) {
        int32_t count = rows_in_block(up, first);
        kernels->activate(op->activation, out + t * ROWS, count);
        for (int32_t r = 0; gate && r < count; r++) out[t * ROWS + r] *= other[t * ROWS + r];
    }
}

static void gated(const Operation *op, const Run *run, const Input *inputs, int thread, int threads) {
    int32_t first, last;
    share(blocks_of(op->matrices), thread, threads, &first, &last);
    for (int32_t block = first; block < last; block++) {
        float out[MAX_TOKENS * ROWS];
        int32_t row = block * ROWS;
        gated_block(op, op->matrices, op->matrices + 1, row, inputs, run->n_tokens, out);
        for (int32_t t = 0; t < run->n_tokens; t++)
            deliver(op, out + t * ROWS, rows_in_block(op->matrices, row), row_of(op->output, t) + row);
    }
}

/* A block of all the matrices of an operation, counted through; and where its rows begin in the output. */
static Block block_at(const Operation *op, int32_t number, const Input *inputs, float *out, int32_t *place) {
    const Matrix *matrix = op->matrices;
    for (*place = 0; number >= blocks_of(matrix); matrix++) {
        number -= blocks_of(matrix);
        *place += matrix->rows;
    }
    *place += number * ROWS;
    return (Block){matrix, number * ROWS, inputs, out};
}

static void finish_block(const Operation *op, const Run *run, const Block *block, int32_t place) {
    int32_t count = rows_in_block(block->matrix, block->first);
    for (int32_t t = 0; t < run->n_tokens; t++) {
        float *out = block->out + t * ROWS;
        if (op->activation) kernels->activate(op->activation, out, count);
        deliver(op, out, count, target_of(op, run, t) + place);
    }
}

/* A thread's blocks are read from two places at once: from the beginning of its share, and from the middle. */
static void linear(const Operation *op, const Run *run, Scratch *scratch, int thread, int threads) {
    for (int32_t t = 0; t < run->n_tokens; t++)
        prepare_one(row_of(op->input, t), &op->norm, op->matrices, op->n_matrices, scratch->inputs + t);
    if (op->gated) {
        gated(op, run, scratch->inputs, thread, threads);
        return;
    }
    int32_t total = 0, first, last;
    for (int32_t m = 0; m < op->n_matrices; m++) total += blocks_of(op->matrices + m);
    share(total, thread, threads, &first, &last);
    int32_t half = (last - first + 1) / 2;
    for (int32_t number = first; number < first + half; number++) {
        float out[2][MAX_TOKENS * ROWS];
        int32_t places[2], alone = number + half >= last;
        const Block a = block_at(op, number, scratch->inputs, out[0], places);
        const Block b = alone ? a : block_at(op, number + half, scratch->inputs, out[1], places + 1);
        kernels->blocks(&a, alone ? &a : &b, run->n_tokens);
        finish_block(op, run, &a, places[0]);
        if (!alone) finish_block(op, run, &b, places[1]);
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

/* --- mixture of experts ---------------------------------------------------------------------------------------- */

/* The experts with the highest scores, the lower number first where they are equal, and their shares (a softmax over
 * all of them). */
static void route(const Operation *op, const Run *run) {
    const Experts *experts = &op->experts;
    for (int32_t t = 0; t < run->n_tokens; t++) {
        float *scores = row_of(op->input, t), *chosen = row_of(experts->choice, t), *shares = chosen + experts->n_used;
        float most = scores[0], total = 0.0f, used = 0.0f;
        for (int32_t e = 1; e < experts->n_experts; e++) most = scores[e] > most ? scores[e] : most;
        for (int32_t e = 0; e < experts->n_experts; e++) total += scores[e] = expf(scores[e] - most);
        for (int32_t n = 0; n < experts->n_used; n++) {
            int32_t best = 0;
            for (int32_t e = 1; e < experts->n_experts; e++)
                if (scores[e] > scores[best]) best = e;
            chosen[n] = (float)best;
            shares[n] = scores[best] / total;
            used += shares[n];
            scores[best] = -1.0f;
        }
        for (int32_t n = 0; experts->renormalised && n < experts->n_used; n++) shares[n] /= used;
    }
}

/* The three matrices of the expert that a token chose as its n-th. */
static const Matrix *chosen_expert(const Experts *experts, int32_t token, int32_t n) {
    return experts->matrices + 3 * (int32_t)row_of(experts->choice, token)[n];
}

static void experts_in(const Operation *op, const Run *run, Scratch *scratch, int thread, int threads) {
    const Experts *experts = &op->experts;
    for (int32_t t = 0; t < run->n_tokens; t++) {
        int32_t blocks = blocks_of(experts->matrices + 1), first, last;
        int32_t done = prepare_one(row_of(op->input, t), &op->norm, experts->matrices + 1, 1, scratch->inputs);
        for (int32_t n = 0; n < experts->n_used; n++) /* each matrix may be in a format of its own */
            done = prepare_for(chosen_expert(experts, t, n) + !op->gated, 1 + op->gated, done, scratch->inputs);
        share(experts->n_used * blocks, thread, threads, &first, &last);
        for (int32_t i = first; i < last; i++) {
            const Matrix *expert = chosen_expert(experts, t, i / blocks);
            int32_t row = i % blocks * ROWS, count = rows_in_block(expert + 1, row);
            float out[ROWS];
            gated_block(op, op->gated ? expert : NULL, expert + 1, row, scratch->inputs, 1, out);
            memcpy(row_of(op->output, t) + i / blocks * expert[1].rows + row, out, (size_t)count * sizeof(float));
        }
    }
}

static void experts_out(const Operation *op, const Run *run, Scratch *scratch, int thread, int threads) {
    const Experts *experts = &op->experts;
    for (int32_t t = 0; t < run->n_tokens; t++) {
        const Norm none = {.kind = NO_NORM};
        const float *shares = row_of(experts->choice, t) + experts->n_used;
        int32_t first, last;
        for (int32_t n = 0; n < experts->n_used; n++) {
            const Matrix *down = chosen_expert(experts, t, n) + 2;
            prepare_one(row_of(op->input, t) + n * down->columns, &none, down, 1, scratch->inputs + n);
        }
        share(blocks_of(experts->matrices + 2), thread, threads, &first, &last);
        for (int32_t block = first; block < last; block++) {
            float sum[ROWS] = {0}, out[2][ROWS];
            int32_t row = block * ROWS, count = rows_in_block(experts->matrices + 2, row);
            for (int32_t n = 0; n < experts->n_used; n += 2) {
                int32_t pair = n + 1 < experts->n_used ? 2 : 1;
                const Block a = {chosen_expert(experts, t, n) + 2, row, scratch->inputs + n, out[0]};
                const Block b = pair == 1 ? a : (Block){chosen_expert(experts, t, n + 1) + 2, row, a.inputs + 1, out[1]};
                kernels->blocks(&a, pair == 1 ? &a : &b, 1);
                for (int32_t i = 0; i < pair; i++)
                    for (int32_t r = 0; r < count; r++) sum[r] += shares[n + i] * out[i][r];
            }
            deliver(op, sum, count, row_of(op->output, t) + row);
        }
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

int32_t logitscope_reads(void) { return reads_many(); }

int32_t logitscope_read(Pool *pool, const Operation *operations, int32_t n_operations, const Run *run) {
    return many_run(pool, operations, n_operations, run, amx);
}

static void unpack_share(void *what, int thread) {
    const Unpacking *job = what;
    int32_t first, last, columns = job->matrix->columns;
    share((job->count + ROWS - 1) / ROWS, thread, team_size(job->pool->team), &first, &last);
    for (int32_t block = first; block < last; block++) {
        int32_t row = block * ROWS, left = job->count - row < ROWS ? job->count - row : ROWS;
        char *out = job->out + (int64_t)row * columns * (job->format == F32 ? 4 : 2);
        kernels->unpack(job->matrix, job->first + row, left, job->format, out);
    }
}

static void pack_share(void *what, int thread) {
    const Packing *job = what;
    int32_t first, last;
    share((job->count + ROWS - 1) / ROWS, thread, team_size(job->pool->team), &first, &last);
    for (int32_t block = first; block < last; block++) {
        int32_t row = block * ROWS, left = job->count - row < ROWS ? job->count - row : ROWS;
        kernels->pack(job->matrix, job->first + row, left, job->rows + (int64_t)row * job->matrix->columns);
    }
}

void logitscope_pack(Pool *pool, const Matrix *matrix, int32_t first, int32_t count, const float *rows) {
    Packing job = {pool, matrix, first, count, rows};
    team_do(pool->team, pack_share, &job);
}

static void add_up_share(void *what, int thread) {
    Reading *job = what;
    int threads = team_size(job->pool->team);
    int64_t first = job->n_bytes / 64 * thread / threads * 64, last = job->n_bytes / 64 * (thread + 1) / threads * 64;
    job->sums[thread % 64] += kernels->add_up(job->memory + first, last - first);
}

void logitscope_add_up(Pool *pool, const void *memory, int64_t n_bytes) {
    Reading job = {pool, memory, n_bytes, {0}};
    team_do(pool->team, add_up_share, &job);
}

void logitscope_unpack(Pool *pool, const Matrix *matrix, int32_t first, int32_t count, int32_t format, void *out) {
    Unpacking job = {pool, matrix, first, count, format, out};
    team_do(pool->team, unpack_share, &job);
}
