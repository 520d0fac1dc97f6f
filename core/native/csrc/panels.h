/* Panels: 16 tokens side by side, (features, 16), so that what is done to every token is done to a whole vector of
 * AVX-512. As the input of a product they are in BF16, two features to a lane (VNNI): (features / 2, 16, 2).
 * Included by the files of the prefill alone, at whose end Clang's attribute must be popped. */
#include <stdlib.h>
#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma,f16c"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma,f16c")
#include <immintrin.h>
#endif

#define LANES 16
#include "kernels/simd.h"

enum { PANEL = LANES, K_STEP = 32 /* columns of one step of a product */ };
enum { PREFILL_KV_BLOCK = 64 /* positions whose scores are computed together */ };
enum { GROUP_HEADS = 8 /* query heads that share a key head and are computed together, at most */ };

/* What one thread needs for a prefill. */
typedef struct {
    uint16_t *rows[2]; /* 16 rows each of a matrix that cannot be multiplied where it lies */
    float *row;        /* a token's vector */
    float *rope;       /* of a panel: cosines, then sines, each (rope_width / 2, 16) */
    uint16_t *keys, *values, *queries, *probs;
    float *scores, *acc;
} PrefillThreadScratch;

struct PrefillScratch {
    void *memory;
    uint16_t *vnni;   /* the input of a product: panels of all tokens */
    GemmKernel *gemm; /* in use */
    PrefillThreadScratch threads[];
};

static inline int32_t padded(int32_t columns) { return (columns + K_STEP - 1) / K_STEP * K_STEP; }
static inline int32_t panels_of(const Run *run) { return (run->n_tokens + PANEL - 1) / PANEL; }
static inline int32_t tokens_in(const Run *run, int32_t panel) {
    int32_t left = run->n_tokens - panel * PANEL;
    return left < PANEL ? left : PANEL;
}
static inline float *panel_at(Buffer buffer, int32_t panel) {
    return buffer.data + (int64_t)panel * buffer.stride * PANEL;
}
static inline uint16_t *vnni_at(uint16_t *vnni, int32_t columns, int32_t panel) {
    return vnni + (int64_t)panel * padded(columns) * PANEL;
}

/* Two features of 16 tokens, interleaved. */
ALWAYS_INLINE void store_vnni(uint16_t *to, vf low, vf high) {
    static const uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                       8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    __m512i bf16 = (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(_mm512_loadu_si512(order), bf16));
}

typedef struct {
    vf mean, scale;
} NormStats; /* of each token of a panel; scale: 1 / the standard deviation, or 1 / the root mean square */

static inline NormStats norm_stats(const Norm *norm, const float *x, int32_t width) {
    NormStats stats = {splat(0.0f), splat(1.0f)};
    if (norm->kind == NO_NORM) return stats;
    vf sums[4] = {0}, squares[4] = {0};
    if (norm->kind == LAYER_NORM) {
        for (int32_t f = 0; f < width; f++) sums[f % 4] += load(x + f * PANEL);
        stats.mean = (sums[0] + sums[1] + sums[2] + sums[3]) / (float)width;
    }
    for (int32_t f = 0; f < width; f++) {
        vf deviation = load(x + f * PANEL) - stats.mean;
        squares[f % 4] += deviation * deviation;
    }
    vf variance = (squares[0] + squares[1] + squares[2] + squares[3]) / (float)width + norm->eps;
    stats.scale = 1.0f / (vf)_mm512_sqrt_ps((__m512)variance);
    return stats;
}

ALWAYS_INLINE vf normalize_feature(const Norm *norm, const float *weight, NormStats stats, const float *x, int32_t f) {
    vf v = load(x + f * PANEL);
    if (norm->kind == NO_NORM) return v;
    v = (v - stats.mean) * stats.scale;
    if (weight) v *= weight[f];
    return norm->bias ? v + norm->bias[f] : v;
}

/* A panel of floats, normalized, as the input of a product. */
static inline void pack_panel(const Norm *norm, const float *x, int32_t width, uint16_t *vnni) {
    NormStats stats = norm_stats(norm, x, width);
    for (int32_t f = 0; f < padded(width); f += 2)
        store_vnni(vnni + f * PANEL, f < width ? normalize_feature(norm, norm->weight, stats, x, f) : splat(0.0f),
                   f + 1 < width ? normalize_feature(norm, norm->weight, stats, x, f + 1) : splat(0.0f));
}

/* A panel (width, 16) as rows of BF16, the first `count` tokens. */
static inline void store_tokens(const float *x, int32_t width, int32_t count, uint16_t *to, int64_t stride) {
    uint16_t bf16[PANEL][PANEL];
    for (int32_t f = 0; f < width; f += PANEL) {
        int32_t features = width - f < PANEL ? width - f : PANEL;
        for (int32_t i = 0; i < features; i++) store_bf16(bf16[i], load(x + (f + i) * PANEL));
        for (int32_t t = 0; t < count; t++)
            for (int32_t i = 0; i < features; i++) to[t * stride + f + i] = bf16[i][t];
    }
}

/* Rows (count, columns) of BF16 as a tile, filled up with zeros. */
static inline RowTile copy_row_tile(const uint16_t *from, int32_t count, int32_t columns, uint16_t *buffer) {
    for (int32_t g = 0; g < padded(columns); g += K_STEP) {
        size_t size = (size_t)(columns - g < K_STEP ? columns - g : K_STEP) * sizeof *buffer;
        for (int32_t r = 0; r < ROWS; r++) {
            uint16_t *to = buffer + g * ROWS + r * K_STEP;
            memset(to, 0, K_STEP * sizeof *to);
            if (r < count) memcpy(to, from + (int64_t)r * columns + g, size);
        }
    }
    return (RowTile){buffer, K_STEP, ROWS * K_STEP};
}

/* Where the key or value of a position begins in its slab. */
static inline uint16_t *kv_at(void *slab, const Heads *heads, const Run *run, int32_t kv_head, int64_t position) {
    int64_t head = (int64_t)heads->layer * heads->n_kv_heads + kv_head;
    return (uint16_t *)slab + (head * run->capacity + position) * heads->d_head;
}
