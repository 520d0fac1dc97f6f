/* What the kernels for NEON, with and without dot products of bytes, have in common. Included before kernels_impl.h, as
 * simd.h is, after saying what simd.h wants and which instructions may be used. Must not use others than plain NEON. */
#include <arm_neon.h>

#define LANES 4
#define TILE_BF16(tokens) tile_bf16_two_sums(rows, x, tokens, columns, TILE_OUT)
#include "simd.h"

/* BF16 is the upper half of a float: zeros below it make it one. */
ALWAYS_INLINE vf dot_bf16(vf sum, const uint16_t *weights, const Input *x, int k) {
    const uint16x8_t zeros = vdupq_n_u16(0), w = vld1q_u16(weights);
    float32x4_t low = vreinterpretq_f32_u16(vzip1q_u16(zeros, w)), high = vreinterpretq_f32_u16(vzip2q_u16(zeros, w));
    float32x4_t s = vfmaq_f32((float32x4_t)sum, low, vld1q_f32(x->values + k));
    return (vf)vfmaq_f32(s, high, vld1q_f32(x->values + k + 4));
}

ALWAYS_INLINE void reduce_add_each(const vf *v, float *out) {
    float32x4_t a = vpaddq_f32((float32x4_t)v[0], (float32x4_t)v[1]);
    float32x4_t b = vpaddq_f32((float32x4_t)v[2], (float32x4_t)v[3]);
    vst1q_f32(out, vpaddq_f32(a, b));
}

ALWAYS_INLINE void load_scales(const uint16_t *scales, float *out) {
    for (int i = 0; i < ROWS; i += 4) vst1q_f32(out + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(scales + i))));
}

/* 16 weights of one row times `tokens` inputs. An addition commonly takes four cycles, and two or more begin in
 * each: with one sum for a row, it would be waited for. */
ALWAYS_INLINE void add_to_sums(vf (*sums)[2], const uint16_t *weights, const Input *x, const int tokens, int k) {
    for (int t = 0; t < tokens; t++)
        for (int part = 0; part < 2; part++)
            sums[t][part] = dot_bf16(sums[t][part], weights + 8 * part, x + t, k + 8 * part);
}

/* What tile_bf16 does, with two sums for each row and input. */
ALWAYS_INLINE void tile_bf16_two_sums(const uint16_t *const *rows, const Input *const *x, const int tokens, int columns,
                                      vf (*out)[MAX_STEP_TOKENS][ROWS]) {
    vf sums[2][TILE_TOKENS][2] = {0};
    int k = 0;
    for (; k + 16 <= columns; k += 16)
        for (int side = 0; side < 2; side++) {
            prefetch(rows[side] + k);
            add_to_sums(sums[side], rows[side] + k, x[side], tokens, k);
        }
    if (k < columns) {
        uint16_t last[2][16] = {0};
        for (int side = 0; side < 2; side++) memcpy(last[side], rows[side] + k, (size_t)(columns - k) * sizeof **last);
        for (int side = 0; side < 2; side++) add_to_sums(sums[side], last[side], x[side], tokens, k);
    }
    for (int side = 0; side < 2; side++)
        for (int t = 0; t < tokens; t++) out[side][t][0] = sums[side][t][0] + sums[side][t][1];
}
