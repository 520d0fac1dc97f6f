/* Kernels on one vector: conversion, norm, RoPE, activation, softcap. A part of kernels_impl.h. Must not read or write
 * beyond the vector's end. */

static void from_float(const float *in, int32_t count, int32_t format, void *out, int64_t offset) {
    if (format == F32) {
        memcpy((float *)out + offset, in, (size_t)count * sizeof(float));
        return;
    }
    uint16_t *bf16 = (uint16_t *)out + offset;
    int i = 0;
    for (; i + LANES <= count; i += LANES) store_bf16(bf16 + i, load(in + i));
    if (i < count) {
        uint16_t last[LANES];
        store_bf16(last, load_partial(in + i, count - i));
        memcpy(bf16 + i, last, (size_t)(count - i) * sizeof *last);
    }
}

static void to_float(const void *in, int64_t offset, int32_t count, int32_t format, float *out) {
    if (format == F32) {
        memcpy(out, (const float *)in + offset, (size_t)count * sizeof(float));
        return;
    }
    const uint16_t *bf16 = (const uint16_t *)in + offset;
    int i = 0;
    for (; i + LANES <= count; i += LANES) store(out + i, load_bf16(bf16 + i));
    for (; i < count; i++) {
        uint32_t bits = (uint32_t)bf16[i] << 16;
        memcpy(out + i, &bits, sizeof bits);
    }
}

static void normalize(const Norm *norm, const float *weight, const float *in, int32_t width, float *out) {
    vf sum = {0}, squares = {0};
    float mean = 0.0f;
    if (norm->kind == LAYER_NORM) {
        for (int i = 0; i < width; i += LANES) sum += load_partial(in + i, width - i);
        mean = reduce_add(sum) / (float)width;
    }
    for (int i = 0; i + LANES <= width; i += LANES) {
        vf v = load(in + i) - mean;
        squares += v * v;
    }
    float square = reduce_add(squares);
    for (int i = width / LANES * LANES; i < width; i++) square += (in[i] - mean) * (in[i] - mean);
    float scale = 1.0f / sqrtf(square / (float)width + norm->eps);
    for (int i = 0; i < width; i += LANES) {
        vf v = (load_partial(in + i, width - i) - mean) * scale;
        if (weight) v *= load_partial(weight + i, width - i);
        if (norm->bias) v += load_partial(norm->bias + i, width - i);
        store_partial(out + i, v, width - i);
    }
}

static void rope(float *x, const float *cos, const float *sin, int32_t half) {
    for (int i = 0; i < half; i += LANES) {
        int left = half - i;
        vf a = load_partial(x + i, left), b = load_partial(x + half + i, left);
        vf c = load_partial(cos + i, left), s = load_partial(sin + i, left);
        store_partial(x + i, a * c - b * s, left);
        store_partial(x + half + i, b * c + a * s, left);
    }
}

static void activate(int32_t activation, float *x, int32_t count) {
    for (int i = 0; i < count; i += LANES)
        store_partial(x + i, apply_activation(activation, load_partial(x + i, count - i)), count - i);
}

static void softcap(float *x, int32_t count, float limit) {
    for (int i = 0; i < count; i += LANES)
        store_partial(x + i, limit * vtanh(load_partial(x + i, count - i) / limit), count - i);
}
