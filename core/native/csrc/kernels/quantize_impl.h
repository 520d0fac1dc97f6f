/* Kernels that quantize rows of a matrix, and dequantize them. A part of kernels_impl.h. Must give the same bits as
 * core/quantization/packed.py, so that a model has the same numbers everywhere. */

/* One group of one row of a quantized matrix. `r` is the row within the block. */
ALWAYS_INLINE void dequantize_group(const uint8_t *weights, int int4, int r, float scale, float *out) {
    uint32_t quads[GROUP / 4]; /* columns that lie side by side */
    uint8_t quants[GROUP];
    for (int i = 0; i < GROUP / 4; i++) {
        memcpy(quads + i, weights + ((int4 ? i / 2 : i) * ROWS + r) * 4, sizeof *quads);
        if (int4) quads[i] = (quads[i] >> i % 2 * 4) & 0x0f0f0f0f;
    }
    memcpy(quants, quads, sizeof quants);
    for (int j = 0; j < GROUP; j++) out[j] = (float)((int)quants[j] - (int4 ? 8 : 128)) * scale;
}

static void dequantize(const Matrix *matrix, int32_t first, int32_t count, int32_t format, void *out) {
    const int int4 = matrix->format == INT4, size = group_bytes(matrix->format);
    const int groups = matrix->columns / GROUP;
    const uint8_t *weights = (const uint8_t *)matrix->weights + (int64_t)(first / ROWS) * groups * size;
    const uint16_t *scales = matrix->scales + (int64_t)(first / ROWS) * groups * ROWS;
    for (int g = 0; g < groups; g++, weights += size, scales += ROWS) {
        float scale[ROWS], values[GROUP];
        load_scales(scales, scale);
        for (int r = 0; r < count; r++) {
            dequantize_group(weights, int4, r, scale[r], values);
            from_float(values, GROUP, format, out, (int64_t)r * matrix->columns + g * GROUP);
        }
    }
}

/* As float16, to the nearest, ties to even. Too large becomes infinite. */
ALWAYS_INLINE uint16_t fp32_to_fp16(float x) {
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

ALWAYS_INLINE float fp16_to_fp32(uint16_t fp16) {
    float scale[ROWS];
    uint16_t fp16s[ROWS] = {fp16};
    load_scales(fp16s, scale);
    return scale[0];
}

/* Integers, offset + value / scale, from 0 to max_quant; returns the squared error of the group. */
ALWAYS_INLINE float quantize_group(const float *values, float scale, float offset, float max_quant, float *quants) {
    const vf magic = splat(MAGIC);
    float inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
    vf error = {0};
    for (int i = 0; i < GROUP; i += LANES) {
        vf v = load(values + i), q = (v * inverse + offset + magic) - magic;
        q = blend(q < 0.0f, splat(0.0f), q);
        q = blend(q > max_quant, splat(max_quant), q);
        store(quants + i, q);
        vf deviation = (q - offset) * scale - v;
        error += deviation * deviation;
    }
    return reduce_add(error);
}

/* The scale of one group of one row, and its quants: see core/quantization/packed.py for which is the best. NaN, if
 * a value is not finite. */
ALWAYS_INLINE uint16_t choose_scale(const float *values, int int4, float *quants) {
    static const float factors[] = {0.96f, 0.92f, 0.88f, 0.84f};
    float candidate_quants[GROUP], largest = 0.0f;
    vf non_finite = {0};
    for (int i = 0; i < GROUP; i += LANES) non_finite += load(values + i) * 0.0f;
    for (int i = 0; i < GROUP; i++)
        if (fabsf(values[i]) > fabsf(largest)) largest = values[i];
    float scale = int4 ? largest / -8.0f : fabsf(largest) / 127.0f;
    uint16_t best = fp32_to_fp16(scale);
    float error = quantize_group(values, fp16_to_fp32(best), int4 ? 8.0f : 128.0f, int4 ? 15.0f : 255.0f, quants);
    for (int n = 0; int4 && n < 4; n++) {
        uint16_t candidate = fp32_to_fp16(scale * factors[n]);
        float candidate_error = quantize_group(values, fp16_to_fp32(candidate), 8.0f, 15.0f, candidate_quants);
        if (!(candidate_error < error)) continue; /* also where one of them is NaN, as in torch */
        error = candidate_error;
        best = candidate;
        memcpy(quants, candidate_quants, sizeof candidate_quants);
    }
    return reduce_add(non_finite) == 0.0f ? best : 0x7e00;
}

static void quantize(const Matrix *matrix, int32_t first, int32_t count, const float *rows) {
    const int int4 = matrix->format == INT4, size = group_bytes(matrix->format);
    const int groups = matrix->columns / GROUP;
    uint8_t *weights = (uint8_t *)matrix->weights + (int64_t)(first / ROWS) * groups * size;
    uint16_t *scales = (uint16_t *)matrix->scales + (int64_t)(first / ROWS) * groups * ROWS;
    for (int g = 0; g < groups; g++, weights += size, scales += ROWS)
        for (int r = 0; r < count; r++) {
            float quants[GROUP];
            scales[r] = choose_scale(rows + (int64_t)r * matrix->columns + g * GROUP, int4, quants);
            for (int j = 0; j < GROUP; j++) {
                int quad = j / 4, quant = (int)quants[j];
                if (int4 && quad % 2) weights[(quad / 2 * ROWS + r) * 4 + j % 4] |= (uint8_t)(quant << 4);
                else if (int4) weights[(quad / 2 * ROWS + r) * 4 + j % 4] = (uint8_t)quant;
                else weights[(quad * ROWS + r) * 4 + j % 4] = (uint8_t)quant;
            }
        }
}

static void get_row(const Matrix *matrix, int32_t row, float *out) {
    if (matrix->format <= BF16) {
        to_float(matrix->weights, (int64_t)row * matrix->columns, matrix->columns, matrix->format, out);
        return;
    }
    const int int4 = matrix->format == INT4, size = group_bytes(matrix->format);
    const int groups = matrix->columns / GROUP;
    for (int g = 0; g < groups; g++) {
        int64_t at = (int64_t)(row / ROWS) * groups + g;
        float scale[ROWS];
        load_scales(matrix->scales + at * ROWS, scale);
        const uint8_t *weights = (const uint8_t *)matrix->weights + at * size;
        dequantize_group(weights, int4, row % ROWS, scale[row % ROWS], out + g * GROUP);
    }
}
