/* Kernels for NEON with dot products of bytes: Apple from M1, Graviton from 2, Raspberry Pi from 5. Must not run where
 * has_dotprod says no. */
#include "kernels.h"

#ifdef HAVE_DOTPROD
#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

enum { DOT_PRODUCTS = 1 << 20 }; /* HWCAP_ASIMDDP, which old headers do not know */

int has_dotprod(void) {
#if defined(__ARM_FEATURE_DOTPROD) /* or nothing that is compiled like this would run */
    return 1;
#elif defined(__linux__)
    return !!(getauxval(AT_HWCAP) & DOT_PRODUCTS);
#elif defined(__APPLE__)
    int present = 0;
    size_t size = sizeof present;
    return !sysctlbyname("hw.optional.arm.FEAT_DotProd", &present, &size, NULL, 0) && present;
#else
    return 0;
#endif
}

#if defined(__clang__)
#include <arm_neon.h>
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

#define KERNELS_NAME "dotprod"
#define KERNELS kernels_dotprod
#include "neon.h"

/* Four rows times 16 columns of an input: w[i] holds columns 4 * i to 4 * i + 3 of each row, lane i of x those of x. */
#define ADD_DOTS(sums, w, x) \
    do { \
        sums = vdotq_laneq_s32(sums, (w)[0], x, 0); \
        sums = vdotq_laneq_s32(sums, (w)[1], x, 1); \
        sums = vdotq_laneq_s32(sums, (w)[2], x, 2); \
        sums = vdotq_laneq_s32(sums, (w)[3], x, 3); \
    } while (0)

ALWAYS_INLINE void dot_int8_group(const uint8_t *weights, const Input *x, int g, const int tokens, vi (*products)[4]) {
    const uint8x16_t offset = vdupq_n_u8(128);
#pragma GCC unroll 4 /* or Clang spreads the lanes of x before the loop, into more registers than there are */
    for (int row_quad = 0; row_quad < 4; row_quad++) {
        int32x4_t coarse[TILE_TOKENS], residual[TILE_TOKENS];
        for (int t = 0; t < tokens; t++) coarse[t] = residual[t] = vdupq_n_s32(0);
        for (int half = 0; half < 2; half++) { /* of the columns */
            int8x16_t w[4];
            for (int i = 0; i < 4; i++)
                w[i] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(weights + 64 * (4 * half + i) + 16 * row_quad), offset));
            for (int t = 0; t < tokens; t++) {
                int8x16_t quants = vld1q_s8(x[t].quants + g * GROUP + 16 * half);
                int8x16_t residuals = vld1q_s8(x[t].residuals + g * GROUP + 16 * half);
                ADD_DOTS(coarse[t], w, quants);
                ADD_DOTS(residual[t], w, residuals);
            }
        }
        for (int t = 0; t < tokens; t++) products[t][row_quad] = (vi)coarse[t] * RESIDUAL_STEPS + (vi)residual[t];
    }
}

ALWAYS_INLINE void dot_int4_group(const uint8_t *weights, const Input *x, int g, const int tokens, vi (*products)[4]) {
    const uint8x16_t mask = vdupq_n_u8(15);
#pragma GCC unroll 4
    for (int row_quad = 0; row_quad < 4; row_quad++) {
        int32x4_t sums[TILE_TOKENS];
        for (int t = 0; t < tokens; t++) sums[t] = vdupq_n_s32(-8 * x[t].sums[g]);
        for (int half = 0; half < 2; half++) {
            int8x16_t w[4];
            for (int i = 0; i < 2; i++) {
                uint8x16_t both = vld1q_u8(weights + 64 * (2 * half + i) + 16 * row_quad);
                w[2 * i] = vreinterpretq_s8_u8(vandq_u8(both, mask));
                w[2 * i + 1] = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
            }
            for (int t = 0; t < tokens; t++) {
                int8x16_t quants = vld1q_s8(x[t].quants + g * GROUP + 16 * half);
                ADD_DOTS(sums[t], w, quants);
            }
        }
        for (int t = 0; t < tokens; t++) products[t][row_quad] = (vi)sums[t];
    }
}

#include "kernels_impl.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
