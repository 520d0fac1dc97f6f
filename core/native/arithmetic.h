/* The arithmetic of a step, written once. Each set of instructions includes this file after vectors.h, after saying
 * TARGET_NAME and KERNELS, and after defining what the compiler cannot do well by itself:
 *
 *   vf add_products(vf sum, const uint16_t *weights, const Input *x, int k)  2 * LANES BF16 weights times x from k on
 *   void totals(const vf *v, float *out)                                    the sums of each of LANES vectors
 *   void load_scales(const uint16_t *scales, float *out)                    16 of F16 as floats
 *   void int8_group(const uint8_t *weights, const Input *x, int g, const int tokens, vi (*products)[ROWS / LANES])
 *   void int4_group(...)                         of 16 rows and group g: the whole numbers' products with each input
 */
/* --- small things ---------------------------------------------------------------------------------------------- */

static void write_as(const float *in, int32_t count, int32_t format, void *out, int64_t offset) {
    if (format == F32) {
        memcpy((float *)out + offset, in, (size_t)count * sizeof(float));
        return;
    }
    uint16_t *halves = (uint16_t *)out + offset;
    int i = 0;
    for (; i + LANES <= count; i += LANES) store_halves(halves + i, load(in + i));
    if (i < count) {
        uint16_t last[LANES];
        store_halves(last, load_some(in + i, count - i));
        memcpy(halves + i, last, (size_t)(count - i) * sizeof *last);
    }
}

static void read_from(const void *in, int64_t offset, int32_t count, int32_t format, float *out) {
    if (format == F32) {
        memcpy(out, (const float *)in + offset, (size_t)count * sizeof(float));
        return;
    }
    const uint16_t *halves = (const uint16_t *)in + offset;
    int i = 0;
    for (; i + LANES <= count; i += LANES) store(out + i, load_halves(halves + i));
    for (; i < count; i++) {
        uint32_t bits = (uint32_t)halves[i] << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}

static void normalise(const Norm *norm, const float *weight, const float *in, int32_t width, float *out) {
    vf sum = {0}, squares = {0};
    float mean = 0.0f;
    if (norm->kind == LAYER_NORM) {
        for (int i = 0; i < width; i += LANES) sum += load_some(in + i, width - i);
        mean = total(sum) / (float)width;
    }
    for (int i = 0; i + LANES <= width; i += LANES) {
        vf v = load(in + i) - mean;
        squares += v * v;
    }
    float square = total(squares);
    for (int i = width / LANES * LANES; i < width; i++) square += (in[i] - mean) * (in[i] - mean);
    float scale = 1.0f / sqrtf(square / (float)width + norm->eps);
    for (int i = 0; i < width; i += LANES) {
        vf v = (load_some(in + i, width - i) - mean) * scale;
        if (weight) v *= load_some(weight + i, width - i);
        if (norm->bias) v += load_some(norm->bias + i, width - i);
        store_some(out + i, v, width - i);
    }
}

static void turn(float *x, const float *cos, const float *sin, int32_t half) {
    for (int i = 0; i < half; i += LANES) {
        int left = half - i;
        vf a = load_some(x + i, left), b = load_some(x + half + i, left);
        vf c = load_some(cos + i, left), s = load_some(sin + i, left);
        store_some(x + i, a * c - b * s, left);
        store_some(x + half + i, b * c + a * s, left);
    }
}

static void activate(int32_t activation, float *x, int32_t count) {
    for (int i = 0; i < count; i += LANES)
        store_some(x + i, activated(activation, load_some(x + i, count - i)), count - i);
}

static void cap(float *x, int32_t count, float at) {
    for (int i = 0; i < count; i += LANES)
        store_some(x + i, at * hyperbolic_tangent(load_some(x + i, count - i) / at), count - i);
}

/* --- matrices -------------------------------------------------------------------------------------------------- */

ALWAYS_INLINE void store_bytes(int8_t *to, vi v) {
    vb bytes = __builtin_convertvector(v, vb);
    memcpy(to, &bytes, sizeof bytes);
}

/* A group of an input as whole numbers, the largest of which is 127, or nearly that many times FINE. */
ALWAYS_INLINE void quantise_input(Input *input, int g, const int fine) {
    const float *x = input->values + g * GROUP, steps = fine ? 127.0f * FINE : 127.0f;
    vf most = {0}, odd = {0}; /* odd: 0, or not a number where one of them is none */
    for (int i = 0; i < GROUP; i += LANES) {
        vf v = load(x + i);
        most = larger(most, choose(v < 0.0f, -v, v));
        odd += v * 0.0f;
    }
    float top = largest(most);
    float inverse = top > 1e-30f ? steps / top : 0.0f; /* of less, it could be infinite */
    vi sum = {0};
    for (int i = 0; i < GROUP; i += LANES) {
        vi whole = (vi)(load(x + i) * inverse + MAGIC) - (vi)all(MAGIC);
        sum += whole;
        vi coarse = fine ? (whole + FINE / 2) >> 7 : whole;
        store_bytes(input->quants + g * GROUP + i, coarse);
        if (fine) store_bytes(input->rests + g * GROUP + i, whole - coarse * FINE);
    }
    /* no whole number says that there was none, but the scale can: a damaged model must be noticed */
    input->scales[g] = total(odd) == 0.0f ? top / steps : NAN;
    input->sums[g] = total_whole(sum);
}

static void prepare(Input *input, int32_t columns, int32_t format) {
    if (format == BF16) write_as(input->values, columns, BF16, input->halves, 0);
    if (format == INT8)
        for (int g = 0; g < columns / GROUP; g++) quantise_input(input, g, 1);
    if (format == INT4)
        for (int g = 0; g < columns / GROUP; g++) quantise_input(input, g, 0);
}

/* call(n), or call(4) where n is more, each compiled for its number */
#define UP_TO_FOUR(n, call) \
    switch (n) { \
        case 1: call(1); break; \
        case 2: call(2); break; \
        case 3: call(3); break; \
        default: call(4); break; \
    }

/* A row of each of two blocks times `tokens` inputs. `tokens` is known when this is compiled, so the loops over it are
 * gone. What is left to do for each sum is to add its lanes, which `totals` does for many at once. */
ALWAYS_INLINE void tile_bf16(const uint16_t *const *rows, const Input *const *x, const int tokens, int columns,
                             vf (*out)[MAX_TOKENS][ROWS]) {
    vf sums[2][AT_ONCE] = {0};
    int k = 0;
    for (; k + 2 * LANES <= columns; k += 2 * LANES)
        for (int side = 0; side < 2; side++) {
            __builtin_prefetch((const char *)(rows[side] + k) + AHEAD);
            for (int t = 0; t < tokens; t++) sums[side][t] = add_products(sums[side][t], rows[side] + k, x[side] + t, k);
        }
    if (k < columns) {
        for (int side = 0; side < 2; side++) {
            uint16_t last[2 * LANES] = {0};
            memcpy(last, rows[side] + k, (size_t)(columns - k) * sizeof *last);
            for (int t = 0; t < tokens; t++) sums[side][t] = add_products(sums[side][t], last, x[side] + t, k);
        }
    }
    for (int side = 0; side < 2; side++)
        for (int t = 0; t < tokens; t++) out[side][t][0] = sums[side][t];
}

ALWAYS_INLINE void tile_f32(const float *const *rows, const Input *const *x, const int tokens, int columns,
                            vf (*out)[MAX_TOKENS][ROWS]) {
    vf sums[2][AT_ONCE] = {0};
    for (int k = 0; k < columns; k += LANES)
        for (int side = 0; side < 2; side++) {
            __builtin_prefetch((const char *)(rows[side] + k) + AHEAD);
            vf weights = load_some(rows[side] + k, columns - k);
            for (int t = 0; t < tokens; t++) sums[side][t] += weights * load(x[side][t].values + k);
        }
    for (int side = 0; side < 2; side++)
        for (int t = 0; t < tokens; t++) out[side][t][0] = sums[side][t];
}

static int32_t rows_of(const Block *block) {
    int32_t left = block->matrix->rows - block->first;
    return left < ROWS ? left : ROWS;
}

/* Blocks of matrices that are stored row by row. */
#define BLOCKS_OF_ROWS(name, type, tile) \
    static void name(const Block *const *blocks, int32_t n) { \
        const int32_t columns = blocks[0]->matrix->columns; \
        vf sums[2][MAX_TOKENS][ROWS]; \
        for (int r = 0; r < ROWS; r++) { \
            const type *rows[2]; \
            for (int side = 0; side < 2; side++) { /* at the matrix's end, its last row again */ \
                const Block *block = blocks[side]; \
                int64_t row = block->first + (r < rows_of(block) ? r : rows_of(block) - 1); \
                rows[side] = (const type *)block->matrix->weights + row * columns; \
            } \
            for (int t = 0; t < n; t += AT_ONCE) { \
                const Input *x[2] = {blocks[0]->inputs + t, blocks[1]->inputs + t}; \
                UP_TO_FOUR(n - t, tile) \
            } \
        } \
        for (int side = 0; side < 2; side++) \
            for (int t = 0; t < n; t++) \
                for (int r = 0; r < ROWS; r += LANES) totals(sums[side][t] + r, blocks[side]->out + t * ROWS + r); \
    }

#define PLACE ((vf(*)[MAX_TOKENS][ROWS])(sums[0][t] + r))
#ifndef TILE_BF16 /* a set of instructions may have one of its own */
#define TILE_BF16(tokens) tile_bf16(rows, x, tokens, columns, PLACE)
#endif
#define TILE_F32(tokens) tile_f32(rows, x, tokens, columns, PLACE)
BLOCKS_OF_ROWS(blocks_bf16, uint16_t, TILE_BF16)
BLOCKS_OF_ROWS(blocks_f32, float, TILE_F32)
#undef PLACE
#undef TILE_BF16
#undef TILE_F32

/* Two blocks times `tokens` inputs, from token t on, group by group; whole numbers are multiplied exactly. */
ALWAYS_INLINE void tile_quantised(const Block *const *blocks, int t0, const int tokens, const int int4) {
    const int groups = blocks[0]->matrix->columns / GROUP, size = group_bytes(int4 ? INT4 : INT8);
    const int ahead = int4 ? AHEAD : AHEAD / 2; /* measured */
    const uint8_t *weights[2];
    const uint16_t *scales[2];
    vf sums[2][AT_ONCE][ROWS / LANES] = {0};
    for (int side = 0; side < 2; side++) {
        int64_t first = (int64_t)(blocks[side]->first / ROWS) * groups;
        weights[side] = (const uint8_t *)blocks[side]->matrix->weights + first * size;
        scales[side] = blocks[side]->matrix->scales + first * ROWS;
    }
    for (int g = 0; g < groups; g++)
        for (int side = 0; side < 2; side++) {
            const Input *x = blocks[side]->inputs + t0;
            for (int i = 0; i < size; i += 64) __builtin_prefetch(weights[side] + ahead + i);
            __builtin_prefetch(scales[side] + AHEAD / 16);
            vf scale[ROWS / LANES];
            load_scales(scales[side], (float *)scale);
            vi products[AT_ONCE][ROWS / LANES];
            if (int4) int4_group(weights[side], x, g, tokens, products);
            else int8_group(weights[side], x, g, tokens, products);
            for (int t = 0; t < tokens; t++)
                for (int i = 0; i < ROWS / LANES; i++)
                    sums[side][t][i] += __builtin_convertvector(products[t][i], vf) * (scale[i] * x[t].scales[g]);
            weights[side] += size;
            scales[side] += ROWS;
        }
    for (int side = 0; side < 2; side++)
        for (int t = 0; t < tokens; t++) memcpy(blocks[side]->out + (t0 + t) * ROWS, sums[side][t], sizeof sums[side][t]);
}

static void blocks_quantised(const Block *const *blocks, int32_t n) {
    for (int t = 0; t < n; t += AT_ONCE) {
#define INT8_TILE(tokens) tile_quantised(blocks, t, tokens, 0)
#define INT4_TILE(tokens) tile_quantised(blocks, t, tokens, 1)
        if (blocks[0]->matrix->format == INT4) UP_TO_FOUR(n - t, INT4_TILE)
        else UP_TO_FOUR(n - t, INT8_TILE)
#undef INT8_TILE
#undef INT4_TILE
    }
}

static void blocks(const Block *a, const Block *b, int32_t n) {
    if (a->matrix->format != b->matrix->format || a->matrix->columns != b->matrix->columns) {
        blocks(a, a, n);
        blocks(b, b, n);
        return;
    }
    const Block *both[2] = {a, b};
    if (a->matrix->format == F32) blocks_f32(both, n);
    else if (a->matrix->format == BF16) blocks_bf16(both, n);
    else blocks_quantised(both, n);
    for (int side = 0; side < (a == b ? 1 : 2); side++) {
        const float *bias = both[side]->matrix->bias;
        for (int t = 0; bias && t < n; t++)
            for (int r = 0; r < rows_of(both[side]); r++) both[side]->out[t * ROWS + r] += bias[both[side]->first + r];
    }
}

/* One group of one row of a quantised matrix. `r` is the row within the block. */
ALWAYS_INLINE void unpack_group(const uint8_t *weights, int int4, int r, float scale, float *out) {
    uint32_t fours[GROUP / 4]; /* columns that lie side by side */
    uint8_t quants[GROUP];
    for (int i = 0; i < GROUP / 4; i++) {
        memcpy(fours + i, weights + ((int4 ? i / 2 : i) * ROWS + r) * 4, sizeof *fours);
        if (int4) fours[i] = (fours[i] >> i % 2 * 4) & 0x0f0f0f0f;
    }
    memcpy(quants, fours, sizeof quants);
    for (int j = 0; j < GROUP; j++) out[j] = (float)((int)quants[j] - (int4 ? 8 : 128)) * scale;
}

static void unpack(const Matrix *matrix, int32_t first, int32_t count, int32_t format, void *out) {
    const int int4 = matrix->format == INT4, size = group_bytes(matrix->format);
    const int groups = matrix->columns / GROUP;
    const uint8_t *weights = (const uint8_t *)matrix->weights + (int64_t)(first / ROWS) * groups * size;
    const uint16_t *scales = matrix->scales + (int64_t)(first / ROWS) * groups * ROWS;
    for (int g = 0; g < groups; g++, weights += size, scales += ROWS) {
        float scale[ROWS], values[GROUP];
        load_scales(scales, scale);
        for (int r = 0; r < count; r++) {
            unpack_group(weights, int4, r, scale[r], values);
            write_as(values, GROUP, format, out, (int64_t)r * matrix->columns + g * GROUP);
        }
    }
}

/* As float16, to the nearest, ties to even. Too large becomes infinite. */
ALWAYS_INLINE uint16_t half_of(float x) {
    uint32_t bits, subnormal = 126u << 23;
    memcpy(&bits, &x, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7fffffff;
    if (bits >= 0x47800000) return sign | (bits > 0x7f800000 ? 0x7e00 : 0x7c00);
    if (bits < 113u << 23) { /* adding 1/2 leaves the bits of a subnormal number at the end */
        float size, half = 0.5f;
        memcpy(&size, &bits, sizeof size);
        size += half;
        memcpy(&bits, &size, sizeof bits);
        return sign | (uint16_t)(bits - subnormal);
    }
    bits += (15u - 127u) * (1u << 23) + 0xfff + (bits >> 13 & 1);
    return sign | (uint16_t)(bits >> 13);
}

ALWAYS_INLINE float float_of(uint16_t half) {
    float scale[ROWS];
    uint16_t halves[ROWS] = {half};
    load_scales(halves, scale);
    return scale[0];
}

/* Whole numbers, offset + value / scale, from 0 to most, and the square of what they are away from the values. */
ALWAYS_INLINE float quantise_group(const float *values, float scale, float offset, float most, float *quants) {
    const vf magic = all(MAGIC);
    float inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
    vf error = {0};
    for (int i = 0; i < GROUP; i += LANES) {
        vf v = load(values + i), q = (v * inverse + offset + magic) - magic;
        q = choose(q < 0.0f, all(0.0f), q);
        q = choose(q > most, all(most), q);
        store(quants + i, q);
        vf away = (q - offset) * scale - v;
        error += away * away;
    }
    return total(error);
}

/* The scale of one group of one row, and its quants. See core/quantized.py for which scale is the best. */
ALWAYS_INLINE uint16_t best_scale(const float *values, int int4, float *quants) {
    static const float factors[] = {0.96f, 0.92f, 0.88f, 0.84f};
    float tried[GROUP], largest = 0.0f;
    vf odd = {0};
    for (int i = 0; i < GROUP; i += LANES) odd += load(values + i) * 0.0f;
    for (int i = 0; i < GROUP; i++)
        if (fabsf(values[i]) > fabsf(largest)) largest = values[i];
    float scale = int4 ? largest / -8.0f : fabsf(largest) / 127.0f;
    uint16_t best = half_of(scale);
    float error = quantise_group(values, float_of(best), int4 ? 8.0f : 128.0f, int4 ? 15.0f : 255.0f, quants);
    for (int n = 0; int4 && n < 4; n++) {
        uint16_t other = half_of(scale * factors[n]);
        float its_error = quantise_group(values, float_of(other), 8.0f, 15.0f, tried);
        if (!(its_error < error)) continue; /* as in torch, where one of them is no number */
        error = its_error;
        best = other;
        memcpy(quants, tried, sizeof tried);
    }
    return total(odd) == 0.0f ? best : 0x7e00;
}

static void pack(const Matrix *matrix, int32_t first, int32_t count, const float *rows) {
    const int int4 = matrix->format == INT4, size = group_bytes(matrix->format);
    const int groups = matrix->columns / GROUP;
    uint8_t *weights = (uint8_t *)matrix->weights + (int64_t)(first / ROWS) * groups * size;
    uint16_t *scales = (uint16_t *)matrix->scales + (int64_t)(first / ROWS) * groups * ROWS;
    for (int g = 0; g < groups; g++, weights += size, scales += ROWS)
        for (int r = 0; r < count; r++) {
            float quants[GROUP];
            scales[r] = best_scale(rows + (int64_t)r * matrix->columns + g * GROUP, int4, quants);
            for (int j = 0; j < GROUP; j++) {
                int four = j / 4, quant = (int)quants[j];
                if (int4 && four % 2) weights[(four / 2 * ROWS + r) * 4 + j % 4] |= (uint8_t)(quant << 4);
                else if (int4) weights[(four / 2 * ROWS + r) * 4 + j % 4] = (uint8_t)quant;
                else weights[(four * ROWS + r) * 4 + j % 4] = (uint8_t)quant;
            }
        }
}

static void row_of(const Matrix *matrix, int32_t row, float *out) {
    if (matrix->format <= BF16) {
        read_from(matrix->weights, (int64_t)row * matrix->columns, matrix->columns, matrix->format, out);
        return;
    }
    const int int4 = matrix->format == INT4, size = group_bytes(matrix->format);
    const int groups = matrix->columns / GROUP;
    for (int g = 0; g < groups; g++) {
        int64_t at = (int64_t)(row / ROWS) * groups + g;
        float scale[ROWS];
        load_scales(matrix->scales + at * ROWS, scale);
        unpack_group((const uint8_t *)matrix->weights + at * size, int4, row % ROWS, scale[row % ROWS], out + g * GROUP);
    }
}

/* --- attention ------------------------------------------------------------------------------------------------- */

/* Up to HEADS_AT_ONCE query heads over a stretch of positions, kept in one piece of scratch. */
typedef struct {
    Input queries[HEADS_AT_ONCE]; /* scaled; values and halves alone */
    float *mixed;                 /* (heads, width): values so far, weighted by e ** (score - most) */
    float *scores;                /* (heads, POSITIONS_AT_ONCE) */
    float most[HEADS_AT_ONCE], sum[HEADS_AT_ONCE];
    int width; /* d_head in pairs of whole vectors */
} Tile;

ALWAYS_INLINE vf load_channels(const void *from, int64_t offset, int32_t format, int left) {
    if (format == F32) return load_some((const float *)from + offset, left);
    if (left >= LANES) return load_halves((const uint16_t *)from + offset);
    uint16_t some[LANES] = {0};
    if (left > 0) memcpy(some, (const uint16_t *)from + offset, (size_t)left * sizeof *some);
    return load_halves(some);
}

/* Products of one key with each query, lane by lane. */
ALWAYS_INLINE void multiply_key(const Attending *a, const Tile *tile, int heads, int64_t position, const int32_t format,
                                vf *sums) {
    const int d = a->d_head;
    const int64_t start = position * d;
    for (int i = 0; i < d; i += 2 * LANES) {
        if (format == F32 || d - i < 2 * LANES) {
            for (int j = i; j < d && j < i + 2 * LANES; j += LANES) {
                vf key = load_channels(a->keys, start + j, format, d - j);
                for (int h = 0; h < heads; h++) sums[h] += key * load(tile->queries[h].values + j);
            }
            continue;
        }
        const uint16_t *key = (const uint16_t *)a->keys + start + i;
        for (int h = 0; h < heads; h++) sums[h] = add_products(sums[h], key, tile->queries + h, i);
    }
}

/* Ask for the key a block of positions ahead, and for the value that is mixed in after this block's scores. */
ALWAYS_INLINE void ask_for(const Attending *a, int64_t position, const int32_t format) {
    const int64_t size = (int64_t)a->d_head * (format == F32 ? 4 : 2);
    const char *key = (const char *)a->keys + (position + POSITIONS_AT_ONCE) * size;
    const char *value = (const char *)a->values + position * size;
    for (int64_t i = 0; i < size; i += 64) {
        __builtin_prefetch(key + i);
        __builtin_prefetch(value + i);
    }
}

/* The scores of `count` positions from `at` on, LANES positions at a time. */
ALWAYS_INLINE void score(const Attending *a, Tile *tile, int heads, int64_t at, int count, const int32_t format) {
    for (int p = 0; p < count; p += LANES) {
        vf products[HEADS_AT_ONCE][LANES] = {0};
        int positions = count - p < LANES ? count - p : LANES;
        for (int j = 0; j < positions; j++) {
            vf sums[HEADS_AT_ONCE] = {0};
            ask_for(a, at + p + j, format);
            multiply_key(a, tile, heads, at + p + j, format, sums);
            for (int h = 0; h < heads; h++) products[h][j] = sums[h];
        }
        for (int h = 0; h < heads; h++) totals(products[h], tile->scores + h * POSITIONS_AT_ONCE + p);
    }
}

/* Turn a head's scores into weights, and what was mixed so far into the same measure. */
ALWAYS_INLINE void weigh(const Attending *a, Tile *tile, int h, int count) {
    float *scores = tile->scores + h * POSITIONS_AT_ONCE;
    if (a->softcap > 0.0f) cap(scores, count, a->softcap);
    for (int i = count; i < (count + LANES - 1) / LANES * LANES; i++) scores[i] = -INFINITY;
    vf most = all(tile->most[h]);
    for (int i = 0; i < count; i += LANES) most = larger(load(scores + i), most);
    float now = largest(most), faded = 0.0f;
    if (now > tile->most[h]) {
        faded = tile->sum[h] > 0.0f ? expf(tile->most[h] - now) : 0.0f;
        float *mixed = tile->mixed + h * tile->width;
        for (int i = 0; i < tile->width; i += LANES) store(mixed + i, load(mixed + i) * faded);
        tile->sum[h] *= faded;
        tile->most[h] = now;
    }
    vf sum = {0};
    for (int i = 0; i < count; i += LANES) {
        vf shifted = load(scores + i) - now;
        vf weight = choose(shifted < -87.0f, all(0.0f), exponential(shifted));
        store(scores + i, weight);
        sum += weight;
    }
    tile->sum[h] += total(sum);
}

/* Two vectors of channels at a time: enough sums on the way to keep the multipliers busy. */
ALWAYS_INLINE void mix(const Attending *a, Tile *tile, int heads, int64_t at, int count, const int32_t format) {
    const int d = a->d_head;
    for (int i = 0; i < d; i += 2 * LANES) {
        vf low[HEADS_AT_ONCE], high[HEADS_AT_ONCE];
        for (int h = 0; h < heads; h++) {
            low[h] = load(tile->mixed + h * tile->width + i);
            high[h] = load(tile->mixed + h * tile->width + i + LANES);
        }
        for (int j = 0; j < count; j++) {
            int64_t from = (at + j) * d + i;
            vf first = load_channels(a->values, from, format, d - i);
            vf second = d - i > LANES ? load_channels(a->values, from + LANES, format, d - i - LANES) : all(0.0f);
            for (int h = 0; h < heads; h++) {
                float weight = tile->scores[h * POSITIONS_AT_ONCE + j];
                low[h] += first * weight;
                high[h] += second * weight;
            }
        }
        for (int h = 0; h < heads; h++) {
            store(tile->mixed + h * tile->width + i, low[h]);
            store(tile->mixed + h * tile->width + i + LANES, high[h]);
        }
    }
}

ALWAYS_INLINE void attend_heads(const Attending *a, int first_head, const int heads, const int32_t format) {
    const int d = a->d_head, width = attend_width(d);
    Tile tile = {.width = width};
    float *room = a->scratch;
    for (int h = 0; h < heads; h++, room += width) tile.queries[h].values = room;
    for (int h = 0; h < heads; h++, room += width / 2) tile.queries[h].halves = (uint16_t *)room;
    tile.mixed = room;
    tile.scores = room + heads * width;
    memset(a->scratch, 0, sizeof(float) * (size_t)(tile.scores - a->scratch));
    for (int h = 0; h < heads; h++) {
        tile.most[h] = -INFINITY;
        for (int i = 0; i < d; i++)
            tile.queries[h].values[i] = a->queries[(int64_t)(first_head + h) * d + i] * a->scale;
        prepare(tile.queries + h, width, format);
    }
    for (int64_t at = a->first; at < a->last; at += POSITIONS_AT_ONCE) {
        int count = a->last - at < POSITIONS_AT_ONCE ? (int)(a->last - at) : POSITIONS_AT_ONCE;
        score(a, &tile, heads, at, count, format);
        for (int h = 0; h < heads; h++) weigh(a, &tile, h, count);
        mix(a, &tile, heads, at, count, format);
    }
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < d; i++)
            a->out[(int64_t)(first_head + h) * d + i] = tile.mixed[h * width + i] / tile.sum[h];
}

static void attend(const Attending *a) {
    for (int h = 0; h < a->n_heads; h += HEADS_AT_ONCE) {
#define HEADS_OF(heads) attend_heads(a, h, heads, F32)
#define HEADS_OF_HALVES(heads) attend_heads(a, h, heads, BF16)
        if (a->format == F32) UP_TO_FOUR(a->n_heads - h, HEADS_OF)
        else UP_TO_FOUR(a->n_heads - h, HEADS_OF_HALVES)
#undef HEADS_OF
#undef HEADS_OF_HALVES
    }
}

static float add_up(const void *memory, int64_t n_bytes) {
    const float *low = memory, *high = low + n_bytes / 128 * 16, *end = low + n_bytes / 4;
    vf sums[4] = {0};
    for (int64_t left = n_bytes / 128; left; left--, low += 16, high += 16) { /* two streams, as weights come in */
        __builtin_prefetch((const char *)low + AHEAD);
        __builtin_prefetch((const char *)high + AHEAD);
        for (int i = 0; i < 16; i += LANES) {
            sums[i / LANES % 2] += load(low + i);
            sums[2 + i / LANES % 2] += load(high + i);
        }
    }
    for (; high < end; high++) sums[0][0] += *high;
    return total(sums[0] + sums[1] + sums[2] + sums[3]);
}

const Kernels KERNELS = {
    .name = TARGET_NAME,
    .prepare = prepare,
    .blocks = blocks,
    .normalise = normalise,
    .turn = turn,
    .activate = activate,
    .cap = cap,
    .attend = attend,
    .write = write_as,
    .read = read_from,
    .row = row_of,
    .unpack = unpack,
    .pack = pack,
    .add_up = add_up,
};
