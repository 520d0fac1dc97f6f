/* Kernels for NEON: every 64-bit ARM processor. Must not use instructions that not all of these know. */
#include "kernels.h"

#ifdef HAVE_NEON
#define KERNELS_NAME "neon"
#define KERNELS kernels_neon
#include "neon.h"

/* A group of an input as 16 bits: four neighboring columns in each half of a vector, as they meet two rows. */
ALWAYS_INLINE void widen_columns(const Input *x, int g, int16x8_t *columns) {
    for (int i = 0; i < 4; i++) {
        int8x8_t quants = vld1_s8(x->quants + g * GROUP + 8 * i), residuals = vld1_s8(x->residuals + g * GROUP + 8 * i);
        int64x2_t both = vreinterpretq_s64_s16(vaddw_s8(vshll_n_s8(quants, 7), residuals));
        columns[2 * i] = vreinterpretq_s16_s64(vdupq_laneq_s64(both, 0));
        columns[2 * i + 1] = vreinterpretq_s16_s64(vdupq_laneq_s64(both, 1));
    }
}

/* Four rows at a time, each with a sum in four lanes, one per column. */
ALWAYS_INLINE void dot_int8_group(const uint8_t *weights, const Input *x, int g, const int tokens, vi (*products)[4]) {
    const uint8x16_t offset = vdupq_n_u8(128);
    int16x8_t columns[TILE_TOKENS][8];
    for (int t = 0; t < tokens; t++) widen_columns(x + t, g, columns[t]);
    for (int row_quad = 0; row_quad < 4; row_quad++) {
        int32x4_t sums[TILE_TOKENS][4];
        for (int t = 0; t < tokens; t++)
            for (int r = 0; r < 4; r++) sums[t][r] = vdupq_n_s32(0);
        for (int i = 0; i < 8; i++) {
            uint8x16_t bytes = vld1q_u8(weights + 64 * i + 16 * row_quad);
            int16x8_t low = vreinterpretq_s16_u16(vsubl_u8(vget_low_u8(bytes), vget_low_u8(offset)));
            int16x8_t high = vreinterpretq_s16_u16(vsubl_high_u8(bytes, offset));
            for (int t = 0; t < tokens; t++) {
                sums[t][0] = vmlal_s16(sums[t][0], vget_low_s16(low), vget_low_s16(columns[t][i]));
                sums[t][1] = vmlal_high_s16(sums[t][1], low, columns[t][i]);
                sums[t][2] = vmlal_s16(sums[t][2], vget_low_s16(high), vget_low_s16(columns[t][i]));
                sums[t][3] = vmlal_high_s16(sums[t][3], high, columns[t][i]);
            }
        }
        for (int t = 0; t < tokens; t++)
            products[t][row_quad] =
                (vi)vpaddq_s32(vpaddq_s32(sums[t][0], sums[t][1]), vpaddq_s32(sums[t][2], sums[t][3]));
    }
}

/* Four neighboring columns of an input in every lane. */
ALWAYS_INLINE int8x16_t broadcast_columns(const Input *x, int g, int quad) {
    int32_t columns;
    memcpy(&columns, x->quants + g * GROUP + quad * 4, sizeof columns);
    return vreinterpretq_s8_s32(vdupq_n_s32(columns));
}

/* Eight products of a half byte and an input stay below 2 ** 15: a group is added up in 16 bits. */
ALWAYS_INLINE void dot_int4_group(const uint8_t *weights, const Input *x, int g, const int tokens, vi (*products)[4]) {
    const uint8x16_t mask = vdupq_n_u8(15);
    for (int row_quad = 0; row_quad < 4; row_quad++) {
        int16x8_t low[TILE_TOKENS], high[TILE_TOKENS]; /* two rows each, four columns to a row */
        for (int t = 0; t < tokens; t++) low[t] = high[t] = vdupq_n_s16(0);
        for (int i = 0; i < 4; i++) {
            uint8x16_t both = vld1q_u8(weights + 64 * i + 16 * row_quad);
            int8x16_t even = vreinterpretq_s8_u8(vandq_u8(both, mask));
            int8x16_t odd = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
            for (int t = 0; t < tokens; t++) {
                int8x16_t first = broadcast_columns(x + t, g, 2 * i), second = broadcast_columns(x + t, g, 2 * i + 1);
                low[t] = vmlal_s8(low[t], vget_low_s8(even), vget_low_s8(first));
                high[t] = vmlal_high_s8(high[t], even, first);
                low[t] = vmlal_s8(low[t], vget_low_s8(odd), vget_low_s8(second));
                high[t] = vmlal_high_s8(high[t], odd, second);
            }
        }
        for (int t = 0; t < tokens; t++) {
            int32x4_t sums = vpaddq_s32(vpaddlq_s16(low[t]), vpaddlq_s16(high[t]));
            products[t][row_quad] = (vi)vsubq_s32(sums, vdupq_n_s32(8 * x[t].sums[g]));
        }
    }
}

#include "kernels_impl.h"
#endif
