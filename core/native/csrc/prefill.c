/* Reading many tokens at once, with AVX-512 and BF16.
 *
 * A matrix product takes 16 rows of the weights as they lie in memory, and panels, and gives a panel again. A token's
 * numbers do not depend on which others are read with it, nor on the number of threads. */
#include "prefill.h"

#ifdef HAVE_AVX512
#include "panels.h"

/* --- weights --------------------------------------------------------------------------------------------------- */

/* One group of 16 rows, four columns to a lane (8, 16, 4), without an offset, as 16 rows of 32 columns in BF16. */
ALWAYS_INLINE void spread(const __m512i *fours, const uint16_t *scales, uint16_t *out) {
    uint8_t sides[2][4][64]; /* columns 0 to 15 and 16 to 31; rows i, i + 4, i + 8, i + 12 */
    for (int s = 0; s < 2; s++) {
        const __m512i *v = fours + 4 * s;
        __m512i a = _mm512_unpacklo_epi32(v[0], v[1]), b = _mm512_unpackhi_epi32(v[0], v[1]);
        __m512i c = _mm512_unpacklo_epi32(v[2], v[3]), d = _mm512_unpackhi_epi32(v[2], v[3]);
        _mm512_storeu_si512(sides[s][0], _mm512_unpacklo_epi64(a, c));
        _mm512_storeu_si512(sides[s][1], _mm512_unpackhi_epi64(a, c));
        _mm512_storeu_si512(sides[s][2], _mm512_unpacklo_epi64(b, d));
        _mm512_storeu_si512(sides[s][3], _mm512_unpackhi_epi64(b, d));
    }
    float scale[ROWS];
    _mm512_storeu_ps(scale, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)scales)));
    for (int r = 0; r < ROWS; r++) {
        __m512 values[2];
        for (int s = 0; s < 2; s++) {
            __m128i bytes = _mm_loadu_si128((const __m128i *)(sides[s][r % 4] + r / 4 * 16));
            values[s] = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)), _mm512_set1_ps(scale[r]));
        }
        _mm512_storeu_si512(out + r * STEP, (__m512i)_mm512_cvtne2ps_pbh(values[1], values[0]));
    }
}

/* A group of a quantised matrix without its offset, four columns to a lane. */
ALWAYS_INLINE void fours_of(int32_t format, const uint8_t *weights, __m512i *fours) {
    if (format == INT8) {
        for (int i = 0; i < 8; i++)
            fours[i] = _mm512_xor_si512(_mm512_loadu_si512(weights + 64 * i), _mm512_set1_epi8((char)128));
        return;
    }
    const __m512i low = _mm512_set1_epi8(15), eight = _mm512_set1_epi8(8);
    for (int i = 0; i < 4; i++) {
        __m512i both = _mm512_loadu_si512(weights + 64 * i);
        fours[2 * i] = _mm512_sub_epi8(_mm512_and_si512(both, low), eight);
        fours[2 * i + 1] = _mm512_sub_epi8(_mm512_and_si512(_mm512_srli_epi16(both, 4), low), eight);
    }
}

static void unpack_rows(const Matrix *matrix, int32_t first, uint16_t *out) {
    const int32_t groups = matrix->columns / GROUP, size = group_bytes(matrix->format);
    const uint8_t *weights = (const uint8_t *)matrix->weights + (int64_t)(first / ROWS) * groups * size;
    const uint16_t *scales = matrix->scales + (int64_t)(first / ROWS) * groups * ROWS;
    for (int32_t g = 0; g < groups; g++, weights += size, scales += ROWS, out += ROWS * STEP) {
        __m512i fours[8];
        fours_of(matrix->format, weights, fours);
        spread(fours, scales, out);
    }
}

static Sixteen sixteen(const Matrix *matrix, int32_t first, uint16_t *room) {
    int32_t columns = matrix->columns, count = rows_in_block(matrix, first);
    if (matrix->format == BF16) {
        const uint16_t *from = (const uint16_t *)matrix->weights + (int64_t)first * columns;
        if (count == ROWS && columns % STEP == 0) return (Sixteen){from, columns, STEP};
        return copied(from, count, columns, room);
    }
    unpack_rows(matrix, first, room);
    return (Sixteen){room, STEP, ROWS * STEP};
}

/* The part of 16 rows' bytes that is to come from memory while panel `part` of `parts` is multiplied. */
static void ask_for(const Matrix *matrix, int32_t first, int32_t part, int32_t parts) {
    if (first >= matrix->rows) return;
    int64_t group = matrix->format == BF16 ? ROWS * GROUP * 2 : group_bytes(matrix->format);
    int64_t lines = group * matrix->columns / GROUP / 64;
    const char *at = (const char *)matrix->weights + first / ROWS * lines * 64;
    for (int64_t i = lines * part / parts; i < lines * (part + 1) / parts; i++) _mm_prefetch(at + i * 64, _MM_HINT_T1);
}

/* --- operations ------------------------------------------------------------------------------------------------ */

static void embed(const Operation *op, const Run *run, Room *room, int thread, int threads) {
    int32_t first, last;
    share(panels_of(run), thread, threads, &first, &last);
    for (int32_t t = first * PANEL; t < last * PANEL; t++) {
        float *to = panel_at(op->output, t / PANEL) + t % PANEL;
        for (int32_t f = 0; f < op->width; f++) to[(int64_t)f * PANEL] = 0.0f;
        for (int32_t m = 0; m < op->n_matrices && t < run->n_tokens; m++) {
            float scale = m ? 1.0f : op->scale;
            kernels_avx512.row(op->matrices + m, m ? run->start + t : (int32_t)run->tokens[t], room->one);
            for (int32_t f = 0; f < op->width; f++) to[(int64_t)f * PANEL] += room->one[f] * scale;
        }
    }
}

/* 16 rows of a product, from row `place` of the output on, to where they belong. */
static void deliver(const Operation *op, vf *v, int32_t count, int32_t place, int32_t panel) {
    if (op->output.pairs) {
        uint16_t *to = pairs_at((uint16_t *)op->output.at, (int32_t)op->output.stride, panel) + place * PANEL;
        for (int32_t r = count; r < ROWS; r++) v[r] = all(0.0f);
        for (int32_t r = 0; r < count; r += 2) store_pair(to + r * PANEL, v[r] * op->scale, v[r + 1] * op->scale);
        return;
    }
    float *to = panel_at(op->output, panel) + place * PANEL;
    for (int32_t r = 0; r < count; r++)
        store(to + r * PANEL, (op->add ? load(to + r * PANEL) : all(0.0f)) + op->scale * v[r]);
}

/* The two blocks of a product that are at hand. */
typedef struct {
    const Matrix *matrix[2];
    int32_t first[2], place[2];
    int n;
} Two;

static Two two_blocks(const Operation *op, int32_t number, int32_t other) {
    Two two = {.n = other < 0 ? 1 : 2};
    if (op->gated) return (Two){{op->matrices, op->matrices + 1}, {number * ROWS, number * ROWS}, {number * ROWS}, 2};
    for (int side = 0; side < two.n; side++) {
        int32_t left = side ? other : number;
        const Matrix *matrix = op->matrices;
        for (; left >= blocks_of(matrix); left -= blocks_of(matrix++)) two.place[side] += matrix->rows;
        two.matrix[side] = matrix;
        two.first[side] = left * ROWS;
        two.place[side] += left * ROWS;
    }
    return two;
}

static void finish(const Operation *op, const Two *two, float (*out)[2][ROWS * PANEL], int j, int32_t panel) {
    vf v[2][ROWS];
    int32_t counts[2];
    for (int i = 0; i < two->n; i++) {
        const Matrix *matrix = two->matrix[i];
        counts[i] = rows_in_block(matrix, two->first[i]);
        for (int32_t r = 0; r < counts[i]; r++) {
            v[i][r] = load(out[i][j] + r * PANEL);
            if (matrix->bias) v[i][r] += matrix->bias[two->first[i] + r];
            if (!op->gated || i == 0) v[i][r] = activated(op->activation, v[i][r]);
        }
    }
    if (op->gated)
        for (int32_t r = 0; r < counts[0]; r++) v[0][r] *= v[1][r];
    for (int i = 0; i < (op->gated ? 1 : two->n); i++) deliver(op, v[i], counts[i], two->place[i], panel);
}

static void linear(const Operation *op, const Run *run, Pool *pool, int thread, int threads) {
    Many *many = pool->many;
    Room *room = many->rooms + thread;
    int32_t columns = op->matrices->columns, panels = panels_of(run), total = 0, first, last;
    uint16_t *pairs = op->input.pairs ? (uint16_t *)op->input.at : many->pairs;
    if (!op->input.pairs) {
        share(panels, thread, threads, &first, &last);
        for (int32_t p = first; p < last; p++)
            pack_panel(&op->norm, panel_at(op->input, p), columns, pairs_at(pairs, columns, p));
        team_meet(pool->team);
    }
    for (int32_t m = 0; m < (op->gated ? 1 : op->n_matrices); m++) total += blocks_of(op->matrices + m);
    share(total, thread, threads, &first, &last);
    int32_t half = op->gated ? last - first : (last - first + 1) / 2;
    for (int32_t number = first; number < first + half; number++) {
        Two two = two_blocks(op, number, number + half < last ? number + half : -1);
        Sixteen rows[2];
        for (int i = 0; i < 2; i++)
            rows[i] = i < two.n ? sixteen(two.matrix[i], two.first[i], room->rows[i]) : rows[0];
        for (int32_t p = 0; p < panels; p += 2) {
            float out[2][2][ROWS * PANEL] __attribute__((aligned(64)));
            int n = p + 1 < panels ? 2 : 1;
            const uint16_t *inputs[2] = {pairs_at(pairs, columns, p), pairs_at(pairs, columns, p + n - 1)};
            for (int i = 0; i < two.n; i++) ask_for(two.matrix[i], two.first[i] + ROWS, p, panels + 1);
            many->multiply(rows, inputs, n, whole(columns), out);
            for (int j = 0; j < n; j++) finish(op, &two, out, j, p + j);
        }
    }
}

static void norm(const Operation *op, const Run *run, int thread, int threads) {
    int32_t first, last;
    share(panels_of(run), thread, threads, &first, &last);
    for (int32_t p = first; p < last; p++) {
        const float *x = panel_at(op->input, p);
        float *out = panel_at(op->output, p);
        Measure m = measure(&op->norm, x, op->width);
        for (int32_t f = 0; f < op->width; f++) {
            vf v = op->scale * normalised(&op->norm, op->norm.weight, m, x, f);
            store(out + f * PANEL, op->add ? load(out + f * PANEL) + v : v);
        }
        int32_t count = tokens_in(run, p);
        uint16_t *hidden = (uint16_t *)run->hidden + (int64_t)p * PANEL * op->width;
        if (op->keep) write_tokens(out, op->width, count, hidden, op->width);
    }
}

/* --- the whole ------------------------------------------------------------------------------------------------- */

typedef struct {
    Pool *pool;
    const Operation *operations;
    int32_t n_operations;
    const Run *run;
    int amx, done;
} Job;

static void lay_out(char *memory, size_t *at, const Pool *pool, Many *many, int threads) {
    size_t columns = (size_t)whole(pool->columns), d = (size_t)whole(pool->d_head), size = sizeof(uint16_t);
    uint16_t *pairs = piece(memory, at, MAX_PREFILL_TOKENS * columns * size);
    if (many) many->pairs = pairs;
    for (int thread = 0; thread < threads; thread++) {
        Room room;
        for (int i = 0; i < 2; i++) room.rows[i] = piece(memory, at, ROWS * columns * size);
        room.one = piece(memory, at, columns * sizeof(float));
        room.turns = piece(memory, at, d * PANEL * sizeof(float));
        room.keys = piece(memory, at, KEYS_AT_ONCE * d * size);
        room.values = piece(memory, at, KEYS_AT_ONCE * d * size);
        room.queries = piece(memory, at, GROUP_AT_ONCE * d * PANEL * size);
        room.shares = piece(memory, at, GROUP_AT_ONCE * KEYS_AT_ONCE * PANEL * size);
        room.scores = piece(memory, at, 2 * KEYS_AT_ONCE * PANEL * sizeof(float));
        room.mixed = piece(memory, at, GROUP_AT_ONCE * d * PANEL * sizeof(float));
        if (many) many->rooms[thread] = room;
    }
}

static Many *many_new(const Pool *pool) {
    int threads = team_size(pool->team);
    size_t size = 0, at = 0;
    lay_out(NULL, &size, pool, NULL, threads);
    Many *many = calloc(1, sizeof *many + (size_t)threads * sizeof *many->rooms);
    void *memory = aligned_alloc(64, size);
    if (!many || !memory) {
        free(many);
        free(memory);
        return NULL;
    }
    many->memory = memory;
    lay_out(memory, &at, pool, many, threads);
    return many;
}

/* Here, as another caller may wait for the team. */
static void make_ready(Pool *pool, int amx) {
    if (!pool->many) pool->many = many_new(pool);
    if (pool->many) pool->many->multiply = amx ? multiply_amx : multiply_avx512;
}

static void work_on(void *what, int thread) {
    Job *job = what;
    const Run *run = job->run;
    Pool *pool = job->pool;
    int threads = team_size(pool->team);
    if (thread == 0) make_ready(pool, job->amx);
    team_meet(pool->team);
    if (!pool->many) return;
    Room *room = pool->many->rooms + thread;
    if (job->amx) amx_begin();
    for (int32_t i = 0; i < job->n_operations; i++) {
        const Operation *op = job->operations + i;
        switch (op->kind) {
            case EMBED: embed(op, run, room, thread, threads); break;
            case LINEAR: linear(op, run, pool, thread, threads); break;
            case NORM: norm(op, run, thread, threads); break;
            case HEADS: many_heads(op, run, pool->many, thread, threads); break;
            case ATTEND: many_attend(op, run, pool->many, thread, threads); break;
        }
        if (i + 1 < job->n_operations) team_meet(pool->team);
    }
    if (job->amx) amx_end();
    if (thread == 0) job->done = 1;
}

int many_run(Pool *pool, const Operation *operations, int32_t n_operations, const Run *run, int amx) {
    Job job = {pool, operations, n_operations, run, amx, 0};
    team_do(pool->team, work_on, &job);
    return job.done;
}

void many_free(Many *many) {
    if (!many) return;
    free(many->memory);
    free(many);
}

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
int many_run(Pool *pool, const Operation *operations, int32_t n_operations, const Run *run, int amx) {
    (void)pool, (void)operations, (void)n_operations, (void)run, (void)amx;
    return 0;
}
void many_free(Many *many) { (void)many; }
#endif
