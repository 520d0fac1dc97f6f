/* Kernels for AVX2: Intel from 2013, AMD from 2015. Must not use instructions that dispatch.c does not look for. */
#include "kernels.h"

#ifdef HAVE_AVX2
#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#include <immintrin.h>
#endif

#define LANES 8
#define KERNELS_NAME "avx2"
#define KERNELS kernels_avx2
#include "simd.h"

ALWAYS_INLINE vf dot_bf16(vf sum, const uint16_t *weights, const Input *x, int k) {
    return dot_bf16_widened(sum, weights, x, k);
}

ALWAYS_INLINE void reduce_add_each(const vf *v, float *out) {
    __m256 a[4], b[2];
    for (int i = 0; i < 4; i++) a[i] = _mm256_hadd_ps((__m256)v[2 * i], (__m256)v[2 * i + 1]);
    for (int i = 0; i < 2; i++) b[i] = _mm256_hadd_ps(a[2 * i], a[2 * i + 1]);
    __m256 low = _mm256_permute2f128_ps(b[0], b[1], 0x20), high = _mm256_permute2f128_ps(b[0], b[1], 0x31);
    _mm256_storeu_ps(out, _mm256_add_ps(low, high));
}

ALWAYS_INLINE void load_scales(const uint16_t *scales, float *out) {
    for (int i = 0; i < ROWS; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(scales + i))));
}

/* Four neighboring columns of 8 rows, as signed bytes, times the same four of an input, which stand in every lane.
 * The instruction wants one side without signs, and sums of pairs below 2 ** 15: the sign moves to the input. */
ALWAYS_INLINE __m256i dot_quad(__m256i weights, const int8_t *quants, int g, int quad, int times) {
    int32_t columns;
    memcpy(&columns, quants + g * GROUP + quad * 4, sizeof columns);
    __m256i signed_input = _mm256_sign_epi8(_mm256_set1_epi32(columns), weights);
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), signed_input);
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16((int16_t)times));
}

ALWAYS_INLINE void dot_int8_group(const uint8_t *weights, const Input *x, int g, const int tokens, vi (*products)[2]) {
    const __m256i offset = _mm256_set1_epi8((char)128);
    for (int half = 0; half < 2; half++)
        for (int t = 0; t < tokens; t++) {
            __m256i sum = _mm256_setzero_si256();
            for (int i = 0; i < 8; i++) {
                __m256i w = _mm256_loadu_si256((const __m256i *)(weights + 64 * i + 32 * half));
                w = _mm256_xor_si256(w, offset);
                sum = _mm256_add_epi32(sum, dot_quad(w, x[t].quants, g, i, RESIDUAL_STEPS));
                sum = _mm256_add_epi32(sum, dot_quad(w, x[t].residuals, g, i, 1));
            }
            products[t][half] = (vi)sum;
        }
}

ALWAYS_INLINE void dot_int4_group(const uint8_t *weights, const Input *x, int g, const int tokens, vi (*products)[2]) {
    const __m256i low = _mm256_set1_epi8(15), offset = _mm256_set1_epi8(8);
    for (int half = 0; half < 2; half++)
        for (int t = 0; t < tokens; t++) {
            __m256i sum = _mm256_setzero_si256();
            for (int i = 0; i < 4; i++) {
                __m256i both = _mm256_loadu_si256((const __m256i *)(weights + 64 * i + 32 * half));
                __m256i even = _mm256_and_si256(both, low);
                __m256i odd = _mm256_and_si256(_mm256_srli_epi16(both, 4), low);
                sum = _mm256_add_epi32(sum, dot_quad(_mm256_sub_epi8(even, offset), x[t].quants, g, 2 * i, 1));
                sum = _mm256_add_epi32(sum, dot_quad(_mm256_sub_epi8(odd, offset), x[t].quants, g, 2 * i + 1, 1));
            }
            products[t][half] = (vi)sum;
        }
}

#include "kernels_impl.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
