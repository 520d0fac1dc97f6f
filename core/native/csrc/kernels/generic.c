/* Kernels for any processor: what the compiler makes of vectors of four floats (SSE2, NEON, or plain arithmetic).
 * Must not contain an instruction of one processor. */
#define LANES 4
#define KERNELS_NAME "generic"
#define KERNELS kernels_generic
#include "simd.h"

ALWAYS_INLINE vf dot_bf16(vf sum, const uint16_t *weights, const Input *x, int k) {
    return dot_bf16_widened(sum, weights, x, k);
}

ALWAYS_INLINE void reduce_add_each(const vf *v, float *out) {
    for (int i = 0; i < LANES; i++) out[i] = reduce_add(v[i]);
}

ALWAYS_INLINE void load_scales(const uint16_t *scales, float *out) {
    for (int i = 0; i < ROWS; i++) { /* the exponent's bias is mended by a multiplication, subnormal numbers too */
        uint32_t bits = (uint32_t)(scales[i] & 0x7fff) << 13;
        if ((scales[i] & 0x7c00) == 0x7c00) bits |= 0x7f800000; /* infinite, or NaN */
        float size;
        memcpy(&size, &bits, sizeof size);
        size *= 0x1p112f;
        out[i] = scales[i] & 0x8000 ? -size : size;
    }
}

ALWAYS_INLINE void dot_int8_group(const uint8_t *weights, const Input *x, int g, const int tokens, vi (*products)[4]) {
    for (int t = 0; t < tokens; t++) {
        int32_t sums[ROWS], values[GROUP];
        for (int j = 0; j < GROUP; j++)
            values[j] = x[t].quants[g * GROUP + j] * RESIDUAL_STEPS + x[t].residuals[g * GROUP + j];
        for (int r = 0; r < ROWS; r++) sums[r] = -128 * x[t].sums[g];
        for (int i = 0; i < 8; i++)
            for (int r = 0; r < ROWS; r++)
                for (int j = 0; j < 4; j++) sums[r] += weights[64 * i + 4 * r + j] * values[4 * i + j];
        memcpy(products[t], sums, sizeof sums);
    }
}

ALWAYS_INLINE void dot_int4_group(const uint8_t *weights, const Input *x, int g, const int tokens, vi (*products)[4]) {
    for (int t = 0; t < tokens; t++) {
        const int8_t *quants = x[t].quants + g * GROUP;
        int32_t sums[ROWS];
        for (int r = 0; r < ROWS; r++) sums[r] = -8 * x[t].sums[g];
        for (int i = 0; i < 4; i++)
            for (int r = 0; r < ROWS; r++)
                for (int j = 0; j < 4; j++) {
                    uint8_t both = weights[64 * i + 4 * r + j];
                    sums[r] += (both & 15) * quants[8 * i + j] + (both >> 4) * quants[8 * i + 4 + j];
                }
        memcpy(products[t], sums, sizeof sums);
    }
}

#include "kernels_impl.h"
