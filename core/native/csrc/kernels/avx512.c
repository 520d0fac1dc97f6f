/* Kernels for AVX-512 with its instructions for BF16 and for dot products of bytes (VNNI): Intel from 2023
 * (servers), AMD from Zen 4. Must not use instructions that dispatch.c does not look for. */
#include "kernels.h"

#ifdef HAVE_AVX512
#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,fma,f16c")
#include <immintrin.h>
#endif

#define LANES 16
#define KERNELS_NAME "avx512"
#define KERNELS kernels_avx512
#include "simd.h"

#include "../prefill.h"

ALWAYS_INLINE vf dot_bf16(vf sum, const uint16_t *weights, const Input *x, int k) {
    __m512i w = _mm512_loadu_si512(weights), v = _mm512_loadu_si512(x->bf16 + k);
    return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)w, (__m512bh)v);
}

/* Two halves of the vectors are added into one vector with two partial sums of each, and so on: 4 rounds. */
ALWAYS_INLINE void reduce_add_each(const vf *v, float *out) {
    __m512 a[8], b[4], c[2];
    for (int i = 0; i < 8; i++) { /* i and i + 8, their lanes' quarters side by side */
        __m512 x = (__m512)v[i], y = (__m512)v[i + 8];
        a[i] = _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x44), _mm512_shuffle_f32x4(x, y, 0xee));
    }
    for (int i = 0; i < 4; i++)
        b[i] = _mm512_add_ps(_mm512_shuffle_f32x4(a[i], a[i + 4], 0x88), _mm512_shuffle_f32x4(a[i], a[i + 4], 0xdd));
    /* b[i]: four quarters, those of vectors i, i + 8, i + 4, i + 12 */
    for (int i = 0; i < 2; i++)
        c[i] = _mm512_add_ps(_mm512_unpacklo_ps(b[i], b[i + 2]), _mm512_unpackhi_ps(b[i], b[i + 2]));
    __m512 d = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(c[0]), _mm512_castps_pd(c[1]))),
                             _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(c[0]), _mm512_castps_pd(c[1]))));
    /* in each quarter now the sums of i, i + 2, i + 1, i + 3 */
    const __m512i order = _mm512_setr_epi32(0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15);
    _mm512_storeu_ps(out, _mm512_permutexvar_ps(order, d));
}

ALWAYS_INLINE void load_scales(const uint16_t *scales, float *out) {
    _mm512_storeu_ps(out, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)scales)));
}

/* Four neighboring columns of an input in every lane, to be multiplied with the same four of all 16 rows. */
ALWAYS_INLINE __m512i broadcast_columns(const int8_t *quants, int g, int quad) {
    int32_t columns;
    memcpy(&columns, quants + g * GROUP + quad * 4, sizeof columns);
    return _mm512_set1_epi32(columns);
}

ALWAYS_INLINE void dot_int8_group(const uint8_t *weights, const Input *x, int g, const int tokens, vi (*products)[1]) {
    for (int t = 0; t < tokens; t++) {
        __m512i coarse = _mm512_setzero_si512(), residual = _mm512_set1_epi32(-128 * x[t].sums[g]);
        for (int i = 0; i < 8; i++) {
            __m512i w = _mm512_loadu_si512(weights + 64 * i);
            coarse = _mm512_dpbusd_epi32(coarse, w, broadcast_columns(x[t].quants, g, i));
            residual = _mm512_dpbusd_epi32(residual, w, broadcast_columns(x[t].residuals, g, i));
        }
        products[t][0] = (vi)coarse * RESIDUAL_STEPS + (vi)residual;
    }
}

ALWAYS_INLINE void dot_int4_group(const uint8_t *weights, const Input *x, int g, const int tokens, vi (*products)[1]) {
    const __m512i low = _mm512_set1_epi8(15);
    for (int t = 0; t < tokens; t++) {
        __m512i even = _mm512_set1_epi32(-8 * x[t].sums[g]), odd = _mm512_setzero_si512();
        for (int i = 0; i < 4; i++) {
            __m512i both = _mm512_loadu_si512(weights + 64 * i);
            even = _mm512_dpbusd_epi32(even, _mm512_and_si512(both, low), broadcast_columns(x[t].quants, g, 2 * i));
            both = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
            odd = _mm512_dpbusd_epi32(odd, both, broadcast_columns(x[t].quants, g, 2 * i + 1));
        }
        products[t][0] = (vi)_mm512_add_epi32(even, odd);
    }
}

/* Eight rows at a time, so that their sums stay in registers. */
void gemm_avx512(const RowTile *tiles, const uint16_t *const *panels, int32_t n, int32_t columns,
                 float (*out)[2][ROWS * 16]) {
    for (int i = 0; i < 2; i++)
        for (int half = 0; half < ROWS; half += 8) {
            __m512 sums[8][2] = {0};
            const uint16_t *at = tiles[i].data + half * tiles[i].stride;
            for (int k = 0; k < columns; k += 2) {
                const uint16_t *weights = at + k / 32 * tiles[i].step + k % 32;
                __m512i x = _mm512_loadu_si512(panels[0] + k * 16), y = _mm512_loadu_si512(panels[n - 1] + k * 16);
#pragma GCC unroll 8
                for (int r = 0; r < 8; r++) {
                    int32_t pair;
                    memcpy(&pair, weights + r * tiles[i].stride, sizeof pair);
                    __m512bh w = (__m512bh)_mm512_set1_epi32(pair);
                    sums[r][0] = _mm512_dpbf16_ps(sums[r][0], w, (__m512bh)x);
                    sums[r][1] = _mm512_dpbf16_ps(sums[r][1], w, (__m512bh)y);
                }
            }
            for (int j = 0; j < n; j++)
#pragma GCC unroll 8
                for (int r = 0; r < 8; r++) _mm512_storeu_ps(out[i][j] + (half + r) * 16, sums[r][j]);
        }
}

#include "kernels_impl.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
