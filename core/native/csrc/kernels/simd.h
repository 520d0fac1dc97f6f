/* Vectors of LANES floats and what every set of instructions does with them alike. Included after saying LANES.
 *
 * The vectors are those of GCC and Clang, not of one processor. */
#include <math.h>
#include <string.h>

#include "kernels.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * LANES)));
typedef uint16_t vh __attribute__((vector_size(2 * LANES)));
typedef int8_t vb __attribute__((vector_size(LANES)));

enum { AT_ONCE = 4 };  /* tokens of one tile: with two rows or blocks, their sums fit into the registers */
/* Bytes to ask of memory before they are needed, in each of the two streams: first for the second-level cache, then,
 * as far as it is there by then, for the first. */
enum { FAR = 3072, NEAR = 2048 };

ALWAYS_INLINE void ask_ahead(const void *at) {
    __builtin_prefetch((const char *)at + NEAR, 0, 3);
    __builtin_prefetch((const char *)at + FAR, 0, 2);
}

ALWAYS_INLINE vf all(float x) { return (vf){0} + x; }

ALWAYS_INLINE vf load(const float *from) {
    vf v;
    memcpy(&v, from, sizeof v);
    return v;
}

ALWAYS_INLINE void store(float *to, vf v) { memcpy(to, &v, sizeof v); }

/* The first `count` of them, at most LANES; the rest is 0, or stays as it is. */
ALWAYS_INLINE vf load_some(const float *from, int count) {
    if (count >= LANES) return load(from);
    vf v = {0};
    memcpy(&v, from, (size_t)count * sizeof(float));
    return v;
}

ALWAYS_INLINE void store_some(float *to, vf v, int count) {
    memcpy(to, &v, (size_t)(count < LANES ? count : LANES) * sizeof(float));
}

ALWAYS_INLINE vf choose(vi where, vf yes, vf no) { return (vf)((where & (vi)yes) | (~where & (vi)no)); }
ALWAYS_INLINE vf larger(vf a, vf b) { return choose(a > b, a, b); }

ALWAYS_INLINE vf load_halves(const uint16_t *from) {
    vh v;
    memcpy(&v, from, sizeof v);
    return (vf)(__builtin_convertvector(v, vu) << 16);
}

ALWAYS_INLINE void store_halves(uint16_t *to, vf v) {
    vu bits = (vu)choose(v == v, v, all(NAN)); /* or rounding could carry a NaN over into 0 */
    bits += 0x7fff + ((bits >> 16) & 1); /* to the nearest, ties to even */
    vh halves = __builtin_convertvector(bits >> 16, vh);
    memcpy(to, &halves, sizeof halves);
}

ALWAYS_INLINE float total(vf v) {
    float lanes[LANES];
    store(lanes, v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

ALWAYS_INLINE float largest(vf v) {
    float lanes[LANES];
    store(lanes, v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
    return lanes[0];
}

ALWAYS_INLINE int32_t total_whole(vi v) {
    int32_t lanes[LANES];
    memcpy(lanes, &v, sizeof v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

#define MAGIC 12582912.0f /* 1.5 * 2 ** 23: adding it rounds to a whole number, left in the low bits */

/* e ** x to 1e-7 of itself: 2 ** n by the exponent's bits, e ** (x - n ln 2) by its series. NaN stays NaN. */
ALWAYS_INLINE vf exponential(vf x) {
    const vf magic = all(MAGIC);
    x = choose(x < -87.0f, all(-87.0f), x);
    x = choose(x > 88.0f, all(88.0f), x);
    vf shifted = x * 1.44269504f + magic;
    vf n = shifted - magic;
    vf r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vf p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return choose(x == x, (vf)((vi)p + (((vi)shifted - (vi)magic) << 23)), x);
}

ALWAYS_INLINE vf hyperbolic_tangent(vf x) {
    vf e = exponential(choose(x < 0.0f, x, -x) * 2.0f); /* of -2|x| */
    vf t = (1.0f - e) / (1.0f + e);
    vf small = x - x * x * x * 0.33333333f; /* where 1 - e would cancel */
    t = choose(x < 0.0f, -t, t);
    return choose((x < 0.01f) & (x > -0.01f), small, t);
}

/* The error function to 1.5e-7 (Abramowitz and Stegun, 7.1.26). */
ALWAYS_INLINE vf error_function(vf x) {
    vf size = choose(x < 0.0f, -x, x);
    vf t = 1.0f / (1.0f + 0.3275911f * size);
    vf p = all(1.061405429f);
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    vf e = 1.0f - p * t * exponential(-size * size);
    return choose(x < 0.0f, -e, e);
}

ALWAYS_INLINE vf activated(int32_t activation, vf x) {
    switch (activation) {
        case SILU: return x / (1.0f + exponential(-x));
        case GELU: return 0.5f * x * (1.0f + error_function(x * 0.70710678f));
        case GELU_TANH: return 0.5f * x * (1.0f + hyperbolic_tangent(0.79788456f * (x + 0.044715f * x * x * x)));
        case RELU: return choose(x < 0.0f, all(0.0f), x);
        default: return x;
    }
}

/* 2 * LANES weights in BF16 times those of x from k on, where no instruction does it at once. */
ALWAYS_INLINE vf add_products_one_by_one(vf sum, const uint16_t *weights, const Input *x, int k) {
    sum += load_halves(weights) * load(x->values + k);
    return sum + load_halves(weights + LANES) * load(x->values + k + LANES);
}
