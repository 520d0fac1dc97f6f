/* Panels: 16 tokens side by side, (features, 16), so that what is done to every token is done to a whole vector of
 * AVX-512. As the input of a product they are in BF16, two features to a lane: (features / 2, 16, 2). */
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

enum { PANEL = LANES, STEP = 32 /* columns of one step of a product */ };
enum { KEYS_AT_ONCE = 64, GROUP_AT_ONCE = 8 /* query heads that share keys */ };

/* What one thread works with. */
typedef struct {
    uint16_t *rows[2]; /* 16 rows each of a matrix that does not lie as a product wants it */
    float *one;        /* a token's vector */
    float *turns;      /* of a panel: cosines, then sines, each (rotary_width / 2, 16) */
    uint16_t *keys, *values, *queries, *shares;
    float *scores, *mixed;
} Room;

struct Many {
    void *memory;
    uint16_t *pairs; /* the input of a product: panels of all tokens */
    Multiply *multiply;
    Room rooms[];
};

static inline int32_t whole(int32_t columns) { return (columns + STEP - 1) / STEP * STEP; }
static inline int32_t panels_of(const Run *run) { return (run->n_tokens + PANEL - 1) / PANEL; }
static inline int32_t tokens_in(const Run *run, int32_t panel) {
    int32_t left = run->n_tokens - panel * PANEL;
    return left < PANEL ? left : PANEL;
}
static inline float *panel_at(Rows rows, int32_t panel) { return rows.at + (int64_t)panel * rows.stride * PANEL; }
static inline uint16_t *pairs_at(uint16_t *pairs, int32_t columns, int32_t panel) {
    return pairs + (int64_t)panel * whole(columns) * PANEL;
}

/* Two features of 16 tokens side by side. */
ALWAYS_INLINE void store_pair(uint16_t *to, vf low, vf high) {
    static const uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                       8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    __m512i halves = (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
    _mm512_storeu_si512(to, _mm512_permutexvar_epi16(_mm512_loadu_si512(order), halves));
}

typedef struct {
    vf mean, scale;
} Measure;

static inline Measure measure(const Norm *norm, const float *x, int32_t width) {
    Measure m = {all(0.0f), all(1.0f)};
    if (norm->kind == NO_NORM) return m;
    vf sums[4] = {0}, squares[4] = {0};
    if (norm->kind == LAYER_NORM) {
        for (int32_t f = 0; f < width; f++) sums[f % 4] += load(x + f * PANEL);
        m.mean = (sums[0] + sums[1] + sums[2] + sums[3]) / (float)width;
    }
    for (int32_t f = 0; f < width; f++) {
        vf away = load(x + f * PANEL) - m.mean;
        squares[f % 4] += away * away;
    }
    vf variance = (squares[0] + squares[1] + squares[2] + squares[3]) / (float)width + norm->eps;
    m.scale = 1.0f / (vf)_mm512_sqrt_ps((__m512)variance);
    return m;
}

ALWAYS_INLINE vf normalised(const Norm *norm, const float *weight, Measure m, const float *x, int32_t f) {
    vf v = load(x + f * PANEL);
    if (norm->kind == NO_NORM) return v;
    v = (v - m.mean) * m.scale;
    if (weight) v *= weight[f];
    return norm->bias ? v + norm->bias[f] : v;
}

/* A panel of floats, normalised, as the input of a product. */
static inline void pack_panel(const Norm *norm, const float *x, int32_t width, uint16_t *pairs) {
    Measure m = measure(norm, x, width);
    for (int32_t f = 0; f < whole(width); f += 2)
        store_pair(pairs + f * PANEL, f < width ? normalised(norm, norm->weight, m, x, f) : all(0.0f),
                   f + 1 < width ? normalised(norm, norm->weight, m, x, f + 1) : all(0.0f));
}

/* A panel (width, 16) as rows of BF16, the first `count` tokens. */
static inline void write_tokens(const float *x, int32_t width, int32_t count, uint16_t *to, int64_t stride) {
    uint16_t halves[PANEL][PANEL];
    for (int32_t f = 0; f < width; f += PANEL) {
        int32_t features = width - f < PANEL ? width - f : PANEL;
        for (int32_t i = 0; i < features; i++) store_halves(halves[i], load(x + (f + i) * PANEL));
        for (int32_t t = 0; t < count; t++)
            for (int32_t i = 0; i < features; i++) to[t * stride + f + i] = halves[i][t];
    }
}

/* Rows (count, columns) of BF16 in steps, filled up with zeros. */
static inline Sixteen copied(const uint16_t *from, int32_t count, int32_t columns, uint16_t *room) {
    for (int32_t g = 0; g < whole(columns); g += STEP) {
        size_t size = (size_t)(columns - g < STEP ? columns - g : STEP) * sizeof *room;
        for (int32_t r = 0; r < ROWS; r++) {
            uint16_t *to = room + g * ROWS + r * STEP;
            memset(to, 0, STEP * sizeof *to);
            if (r < count) memcpy(to, from + (int64_t)r * columns + g, size);
        }
    }
    return (Sixteen){room, STEP, ROWS * STEP};
}

/* Where the key or value of a position begins in its slab. */
static inline uint16_t *place_of(void *slab, const Heads *heads, const Run *run, int32_t kv_head, int64_t position) {
    int64_t head = (int64_t)heads->layer * heads->n_kv_heads + kv_head;
    return (uint16_t *)slab + (head * run->capacity + position) * heads->d_head;
}
