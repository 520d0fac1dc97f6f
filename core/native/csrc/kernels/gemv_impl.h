/* GEMV kernels: 16 rows of a matrix in any format times the vectors of up to eight tokens. A part of kernels_impl.h.
 * The numbers of a token must not depend on which others are multiplied along with it. */

ALWAYS_INLINE void store_int8(int8_t *to, vi v) {
    vb bytes = __builtin_convertvector(v, vb);
    memcpy(to, &bytes, sizeof bytes);
}

/* A group of an input as integers, the largest of which is 127, or with residuals 127 * RESIDUAL_STEPS. */
ALWAYS_INLINE void quantize_input_group(Input *input, int g, const int with_residuals) {
    const float *x = input->values + g * GROUP, steps = with_residuals ? 127.0f * RESIDUAL_STEPS : 127.0f;
    vf amax = {0}, non_finite = {0}; /* non_finite: 0, or NaN where a value is not finite */
    for (int i = 0; i < GROUP; i += LANES) {
        vf v = load(x + i);
        amax = maximum(amax, blend(v < 0.0f, -v, v));
        non_finite += v * 0.0f;
    }
    float largest = reduce_max(amax);
    float inverse = largest > 1e-30f ? steps / largest : 0.0f; /* of less, it could be infinite */
    vi sum = {0};
    for (int i = 0; i < GROUP; i += LANES) {
        vi rounded = (vi)(load(x + i) * inverse + MAGIC) - (vi)splat(MAGIC);
        sum += rounded;
        vi coarse = with_residuals ? (rounded + RESIDUAL_STEPS / 2) >> 7 : rounded;
        store_int8(input->quants + g * GROUP + i, coarse);
        if (with_residuals) store_int8(input->residuals + g * GROUP + i, rounded - coarse * RESIDUAL_STEPS);
    }
    /* no integer can say that a value was not finite, but the scale can: a damaged model must be noticed */
    input->scales[g] = reduce_add(non_finite) == 0.0f ? largest / steps : NAN;
    input->sums[g] = reduce_add_int(sum);
}

static void convert_input(Input *input, int32_t columns, int32_t format) {
    if (format == BF16) from_float(input->values, columns, BF16, input->bf16, 0);
    if (format == INT8)
        for (int g = 0; g < columns / GROUP; g++) quantize_input_group(input, g, 1);
    if (format == INT4)
        for (int g = 0; g < columns / GROUP; g++) quantize_input_group(input, g, 0);
}

/* A row of each of two blocks times `tokens` inputs. `tokens` is known when this is compiled, so the loops over it are
 * gone. What is left to do for each sum is to add its lanes, which reduce_add_each does for many at once. */
ALWAYS_INLINE void tile_bf16(const uint16_t *const *rows, const Input *const *x, const int tokens, int columns,
                             vf (*out)[MAX_STEP_TOKENS][ROWS]) {
    vf sums[2][TILE_TOKENS] = {0};
    int k = 0;
    for (; k + 2 * LANES <= columns; k += 2 * LANES)
        for (int side = 0; side < 2; side++) {
            prefetch(rows[side] + k);
            for (int t = 0; t < tokens; t++) sums[side][t] = dot_bf16(sums[side][t], rows[side] + k, x[side] + t, k);
        }
    if (k < columns) {
        for (int side = 0; side < 2; side++) {
            uint16_t last[2 * LANES] = {0};
            memcpy(last, rows[side] + k, (size_t)(columns - k) * sizeof *last);
            for (int t = 0; t < tokens; t++) sums[side][t] = dot_bf16(sums[side][t], last, x[side] + t, k);
        }
    }
    for (int side = 0; side < 2; side++)
        for (int t = 0; t < tokens; t++) out[side][t][0] = sums[side][t];
}

ALWAYS_INLINE void tile_f32(const float *const *rows, const Input *const *x, const int tokens, int columns,
                            vf (*out)[MAX_STEP_TOKENS][ROWS]) {
    vf sums[2][TILE_TOKENS] = {0};
    for (int k = 0; k < columns; k += LANES)
        for (int side = 0; side < 2; side++) {
            prefetch(rows[side] + k);
            vf weights = load_partial(rows[side] + k, columns - k);
            for (int t = 0; t < tokens; t++) sums[side][t] += weights * load(x[side][t].values + k);
        }
    for (int side = 0; side < 2; side++)
        for (int t = 0; t < tokens; t++) out[side][t][0] = sums[side][t];
}

static int32_t block_rows(const Block *block) {
    int32_t left = block->matrix->rows - block->first;
    return left < ROWS ? left : ROWS;
}

/* gemv of matrices that are stored row by row. */
#define GEMV_ROW_MAJOR(name, type, tile) \
    static void name(const Block *const *blocks, int32_t n) { \
        const int32_t columns = blocks[0]->matrix->columns; \
        vf sums[2][MAX_STEP_TOKENS][ROWS]; \
        for (int r = 0; r < ROWS; r++) { \
            const type *rows[2]; \
            for (int side = 0; side < 2; side++) { /* at the matrix's end, its last row again */ \
                const Block *block = blocks[side]; \
                int64_t row = block->first + (r < block_rows(block) ? r : block_rows(block) - 1); \
                rows[side] = (const type *)block->matrix->weights + row * columns; \
            } \
            for (int t = 0; t < n; t += TILE_TOKENS) { \
                const Input *x[2] = {blocks[0]->inputs + t, blocks[1]->inputs + t}; \
                UP_TO_FOUR(n - t, tile) \
            } \
        } \
        for (int side = 0; side < 2; side++) \
            for (int t = 0; t < n; t++) \
                for (int r = 0; r < ROWS; r += LANES) \
                    reduce_add_each(sums[side][t] + r, blocks[side]->out + t * ROWS + r); \
    }

#define TILE_OUT ((vf(*)[MAX_STEP_TOKENS][ROWS])(sums[0][t] + r))
#ifndef TILE_BF16 /* a set of instructions may have one of its own */
#define TILE_BF16(tokens) tile_bf16(rows, x, tokens, columns, TILE_OUT)
#endif
#define TILE_F32(tokens) tile_f32(rows, x, tokens, columns, TILE_OUT)
GEMV_ROW_MAJOR(gemv_bf16, uint16_t, TILE_BF16)
GEMV_ROW_MAJOR(gemv_f32, float, TILE_F32)
#undef TILE_OUT
#undef TILE_BF16
#undef TILE_F32

/* Two blocks times `tokens` inputs, from token t on, group by group; integers are multiplied exactly. */
ALWAYS_INLINE void tile_quantized(const Block *const *blocks, int t0, const int tokens, const int int4) {
    const int groups = blocks[0]->matrix->columns / GROUP, size = group_bytes(int4 ? INT4 : INT8);
    const uint8_t *weights[2];
    const uint16_t *scales[2];
    vf sums[2][TILE_TOKENS][ROWS / LANES] = {0};
    for (int side = 0; side < 2; side++) {
        int64_t first = (int64_t)(blocks[side]->first / ROWS) * groups;
        weights[side] = (const uint8_t *)blocks[side]->matrix->weights + first * size;
        scales[side] = blocks[side]->matrix->scales + first * ROWS;
    }
    for (int g = 0; g < groups; g++)
        for (int side = 0; side < 2; side++) {
            const Input *x = blocks[side]->inputs + t0;
            for (int i = 0; i < size; i += 64) prefetch(weights[side] + i);
            __builtin_prefetch(scales[side] + PREFETCH_L2 / size * ROWS + 2 * ROWS);
            vf scale[ROWS / LANES];
            load_scales(scales[side], (float *)scale);
            vi products[TILE_TOKENS][ROWS / LANES];
            if (int4) dot_int4_group(weights[side], x, g, tokens, products);
            else dot_int8_group(weights[side], x, g, tokens, products);
            for (int t = 0; t < tokens; t++)
                for (int i = 0; i < ROWS / LANES; i++)
                    sums[side][t][i] += __builtin_convertvector(products[t][i], vf) * (scale[i] * x[t].scales[g]);
            weights[side] += size;
            scales[side] += ROWS;
        }
    for (int side = 0; side < 2; side++)
        for (int t = 0; t < tokens; t++)
            memcpy(blocks[side]->out + (t0 + t) * ROWS, sums[side][t], sizeof sums[side][t]);
}

static void gemv_quantized(const Block *const *blocks, int32_t n) {
    for (int t = 0; t < n; t += TILE_TOKENS) {
#define INT8_TILE(tokens) tile_quantized(blocks, t, tokens, 0)
#define INT4_TILE(tokens) tile_quantized(blocks, t, tokens, 1)
        if (blocks[0]->matrix->format == INT4) UP_TO_FOUR(n - t, INT4_TILE)
        else UP_TO_FOUR(n - t, INT8_TILE)
#undef INT8_TILE
#undef INT4_TILE
    }
}

static void gemv(const Block *a, const Block *b, int32_t n) {
    if (a->matrix->format != b->matrix->format || a->matrix->columns != b->matrix->columns) {
        gemv(a, a, n);
        gemv(b, b, n);
        return;
    }
    const Block *both[2] = {a, b};
    if (a->matrix->format == F32) gemv_f32(both, n);
    else if (a->matrix->format == BF16) gemv_bf16(both, n);
    else gemv_quantized(both, n);
    for (int side = 0; side < (a == b ? 1 : 2); side++) {
        const float *bias = both[side]->matrix->bias;
        for (int t = 0; bias && t < n; t++)
            for (int r = 0; r < block_rows(both[side]); r++)
                both[side]->out[t * ROWS + r] += bias[both[side]->first + r];
    }
}
