/* What is done to a vector by itself: converted, normalised, turned, capped. A part of kernels_impl.h. */
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
