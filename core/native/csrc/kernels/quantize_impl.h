/* Rows of a matrix into its quantised format and out of it. A part of kernels_impl.h. */
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

/* The scale of one group of one row, and its quants. See core/quantization/packed.py for which scale is the best. */
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
