/* Vectors of LANES floats and what every set of instructions does with them alike. Included after saying LANES. Must
 * not contain an instruction of one processor: the vectors are those of GCC and Clang. */
#include <math.h>
#include <string.h>

#include "kernels.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * LANES)));
typedef uint16_t vh __attribute__((vector_size(2 * LANES)));
typedef int8_t vb __attribute__((vector_size(LANES)));

enum { TILE_TOKENS = 4 }; /* of one tile at most: with two rows or blocks, their sums fit into the registers */
/* How many bytes ahead memory is asked for, in each of the two streams: first into the second-level cache, then, as
 * far as it is there by then, into the first. */
enum { PREFETCH_L2 = 3072, PREFETCH_L1 = 2048 };

ALWAYS_INLINE void prefetch(const void *at) {
    __builtin_prefetch((const char *)at + PREFETCH_L1, 0, 3);
    __builtin_prefetch((const char *)at + PREFETCH_L2, 0, 2);
}

ALWAYS_INLINE vf splat(float x) { return (vf){0} + x; }

ALWAYS_INLINE vf load(const float *from) {
    vf v;
    memcpy(&v, from, sizeof v);
    return v;
}

ALWAYS_INLINE void store(float *to, vf v) { memcpy(to, &v, sizeof v); }

/* The first `count` of them, at most LANES; the rest is 0, or stays as it is. */
ALWAYS_INLINE vf load_partial(const float *from, int count) {
    if (count >= LANES) return load(from);
    vf v = {0};
    memcpy(&v, from, (size_t)count * sizeof(float));
    return v;
}

ALWAYS_INLINE void store_partial(float *to, vf v, int count) {
    memcpy(to, &v, (size_t)(count < LANES ? count : LANES) * sizeof(float));
}

ALWAYS_INLINE vf blend(vi where, vf yes, vf no) { return (vf)((where & (vi)yes) | (~where & (vi)no)); }
ALWAYS_INLINE vf maximum(vf a, vf b) { return blend(a > b, a, b); }

ALWAYS_INLINE vf load_bf16(const uint16_t *from) {
    vh v;
    memcpy(&v, from, sizeof v);
    return (vf)(__builtin_convertvector(v, vu) << 16);
}

ALWAYS_INLINE void store_bf16(uint16_t *to, vf v) {
    vu bits = (vu)blend(v == v, v, splat(NAN)); /* or rounding could carry a NaN over into 0 */
    bits += 0x7fff + ((bits >> 16) & 1); /* to the nearest, ties to even */
    vh bf16 = __builtin_convertvector(bits >> 16, vh);
    memcpy(to, &bf16, sizeof bf16);
}

ALWAYS_INLINE float reduce_add(vf v) {
    float lanes[LANES];
    store(lanes, v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

ALWAYS_INLINE float reduce_max(vf v) {
    float lanes[LANES];
    store(lanes, v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
    return lanes[0];
}

ALWAYS_INLINE int32_t reduce_add_int(vi v) {
    int32_t lanes[LANES];
    memcpy(lanes, &v, sizeof v);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

#define MAGIC 12582912.0f /* 1.5 * 2 ** 23: adding it rounds to an integer, left in the low bits */

/* e ** x to 1e-7 of itself: 2 ** n by the exponent's bits, e ** (x - n ln 2) by its series. NaN stays NaN. */
ALWAYS_INLINE vf vexp(vf x) {
    const vf magic = splat(MAGIC);
    x = blend(x < -87.0f, splat(-87.0f), x);
    x = blend(x > 88.0f, splat(88.0f), x);
    vf shifted = x * 1.44269504f + magic;
    vf n = shifted - magic;
    vf r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vf p = splat(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return blend(x == x, (vf)((vi)p + (((vi)shifted - (vi)magic) << 23)), x);
}

ALWAYS_INLINE vf vtanh(vf x) {
    vf e = vexp(blend(x < 0.0f, x, -x) * 2.0f); /* of -2|x| */
    vf t = (1.0f - e) / (1.0f + e);
    vf small = x - x * x * x * 0.33333333f; /* where 1 - e would cancel */
    t = blend(x < 0.0f, -t, t);
    return blend((x < 0.01f) & (x > -0.01f), small, t);
}

/* The error function to 1.5e-7 (Abramowitz and Stegun, 7.1.26). */
ALWAYS_INLINE vf verf(vf x) {
    vf magnitude = blend(x < 0.0f, -x, x);
    vf t = 1.0f / (1.0f + 0.3275911f * magnitude);
    vf p = splat(1.061405429f);
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    vf e = 1.0f - p * t * vexp(-magnitude * magnitude);
    return blend(x < 0.0f, -e, e);
}

ALWAYS_INLINE vf apply_activation(int32_t activation, vf x) {
    switch (activation) {
        case SILU: return x / (1.0f + vexp(-x));
        case GELU: return 0.5f * x * (1.0f + verf(x * 0.70710678f));
        case GELU_TANH: return 0.5f * x * (1.0f + vtanh(0.79788456f * (x + 0.044715f * x * x * x)));
        case RELU: return blend(x < 0.0f, splat(0.0f), x);
        default: return x;
    }
}

/* dot_bf16 where no instruction does it at once: the weights are widened to floats. */
ALWAYS_INLINE vf dot_bf16_widened(vf sum, const uint16_t *weights, const Input *x, int k) {
    sum += load_bf16(weights) * load(x->values + k);
    return sum + load_bf16(weights + LANES) * load(x->values + k + LANES);
}
