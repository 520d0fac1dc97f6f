/* ATTEND of a prefill, block by block of positions with a running softmax (as FlashAttention): keys times queries,
 * softmax down each column, values times that. What lies in the cache beyond a token's own position must not change
 * its numbers. */
#include "prefill.h"

#ifdef HAVE_AVX512
#include "panels.h"

/* Query heads of one panel that share a key head, and how far they have come. */
typedef struct {
    const Heads *heads;
    const Run *run;
    PrefillScratch *prefill;
    PrefillThreadScratch *scratch;
    int32_t panel, n; /* of heads */
    const uint16_t *keys, *values;
    int32_t n_left_out, left_out[PREFILL_KV_BLOCK]; /* positions of the block whose value is not finite */
    vf max[GROUP_HEADS], sum[GROUP_HEADS];          /* of the scores so far, and of e ** (score - max) */
} HeadGroup;

static float *acc_of(const HeadGroup *g, int32_t head) {
    return g->scratch->acc + (int64_t)head * padded(g->heads->d_head) * PANEL;
}
static uint16_t *queries_of(const HeadGroup *g, int32_t head) {
    return g->scratch->queries + (int64_t)head * padded(g->heads->d_head) * PANEL;
}
static uint16_t *probs_of(const HeadGroup *g, int32_t head) {
    return g->scratch->probs + head * PREFILL_KV_BLOCK * PANEL;
}

static void init_group(HeadGroup *g, const Operation *op, int32_t first_head) {
    int32_t d = g->heads->d_head;
    for (int32_t h = 0; h < g->n; h++) {
        const float *x = panel_at(op->input, g->panel) + (int64_t)(first_head + h) * d * PANEL;
        uint16_t *vnni = queries_of(g, h);
        float scale = g->heads->scale;
        for (int32_t f = 0; f < padded(d); f += 2)
            store_vnni(vnni + f * PANEL, f < d ? load(x + f * PANEL) * scale : splat(0.0f),
                       f + 1 < d ? load(x + (f + 1) * PANEL) * scale : splat(0.0f));
        memset(acc_of(g, h), 0, (size_t)(padded(d) * PANEL) * sizeof(float));
        g->max[h] = splat(-INFINITY);
        g->sum[h] = splat(0.0f);
    }
}

static int all_finite(const uint16_t *value, int32_t d) {
    int odd = 0;
    for (int32_t c = 0; c < d; c++) odd |= (value[c] & 0x7f80) == 0x7f80;
    return !odd;
}

/* Values of a block of positions with channels down, (blocks of 16, 2 steps, 16, 32): each a tile of rows. Those
 * that are not finite are left out, or they would harm the tokens that do not see them too: 0 * NaN is NaN. */
static void transpose_values(HeadGroup *g, int64_t at, int32_t count) {
    int32_t d = g->heads->d_head;
    uint16_t *to = g->scratch->values;
    memset(to, 0, (size_t)(padded(d) * PREFILL_KV_BLOCK) * sizeof *to);
    g->n_left_out = 0;
    for (int32_t j = 0; j < count; j++) {
        const uint16_t *value = g->values + (at + j) * d;
        uint16_t *column = to + j / K_STEP * ROWS * K_STEP + j % K_STEP;
        if (!all_finite(value, d)) g->left_out[g->n_left_out++] = j;
        else
            for (int32_t c = 0; c < d; c++) column[c / ROWS * ROWS * PREFILL_KV_BLOCK + c % ROWS * K_STEP] = value[c];
    }
}

/* The keys of 16 positions from `at` on, where they lie if they can be multiplied there, else in the buffer. */
static RowTile key_tile(const HeadGroup *g, int64_t at, uint16_t *buffer) {
    int32_t d = g->heads->d_head;
    if (d % K_STEP == 0 && at + ROWS <= g->run->capacity) return (RowTile){g->keys + at * d, d, K_STEP};
    int64_t left = g->run->capacity - at;
    return copy_row_tile(g->keys + at * d, left < 0 ? 0 : left < ROWS ? (int32_t)left : ROWS, d, buffer);
}

/* The scores of two heads (or the last one) for a block of positions. */
static void score(const HeadGroup *g, int32_t head, int32_t n, int64_t at) {
    int32_t d = padded(g->heads->d_head);
    const uint16_t *queries[2] = {queries_of(g, head), queries_of(g, head + n - 1)};
    for (int32_t k = 0; k < PREFILL_KV_BLOCK; k += 2 * ROWS) {
        float out[2][2][ROWS * PANEL] __attribute__((aligned(64)));
        uint16_t *buffer = g->scratch->keys + k * d;
        const RowTile tiles[2] = {key_tile(g, at + k, buffer), key_tile(g, at + k + ROWS, buffer + ROWS * d)};
        g->prefill->gemm(tiles, queries, n, d, out);
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < n; j++)
                memcpy(g->scratch->scores + (j * PREFILL_KV_BLOCK + k + i * ROWS) * PANEL, out[i][j],
                       sizeof out[i][j]);
    }
}

/* What a token may not see scores minus infinity: what comes after it, and what has left its window. */
static void apply_mask(const HeadGroup *g, float *scores, int64_t at) {
    const int32_t window = g->heads->window;
    int32_t first = g->panel * PANEL, newest = g->run->n_tokens - 1;
    int64_t offset = at - g->run->start;
    if (offset + PREFILL_KV_BLOCK <= first && !window) return;
    vi own; /* each token's position, counted from the first of this call */
    for (int t = 0; t < PANEL; t++) own[t] = first + t < newest ? first + t : newest;
    for (int32_t k = 0; k < PREFILL_KV_BLOCK; k++) {
        vi here = (vi){0} + (int32_t)(offset + k);
        vi hidden = here > own;
        if (window) hidden |= here <= own - window;
        store(scores + k * PANEL, blend(hidden, splat(-INFINITY), load(scores + k * PANEL)));
    }
}

/* Scores into e ** (score - max), and what was accumulated so far to the same maximum. */
static void softmax(HeadGroup *g, int32_t head, float *scores) {
    uint16_t *probs = probs_of(g, head);
    vf max = g->max[head], sum = {0};
    for (int32_t k = 0; k < PREFILL_KV_BLOCK; k++) max = maximum(load(scores + k * PANEL), max);
    vf base = blend(max == -INFINITY, splat(0.0f), max); /* where nothing has been seen yet */
    for (int32_t k = 0; k < PREFILL_KV_BLOCK; k += 2) {
        vf prob[2];
        for (int i = 0; i < 2; i++) {
            vf shifted = load(scores + (k + i) * PANEL) - base;
            prob[i] = blend(shifted < -87.0f, splat(0.0f), vexp(shifted));
            sum += prob[i];
        }
        store_vnni(probs + k * PANEL, prob[0], prob[1]);
    }
    vf change = g->max[head] - base;
    vf rescale = blend(change < -87.0f, splat(0.0f), vexp(change));
    float *acc = acc_of(g, head);
    for (int32_t c = 0; c < g->heads->d_head; c++) store(acc + c * PANEL, load(acc + c * PANEL) * rescale);
    g->sum[head] = g->sum[head] * rescale + sum;
    g->max[head] = max;
}

/* Add values times probabilities of two heads (or the last one). */
static void accumulate_values(const HeadGroup *g, int32_t head, int32_t n) {
    const uint16_t *probs[2] = {probs_of(g, head), probs_of(g, head + n - 1)};
    int32_t blocks = (g->heads->d_head + ROWS - 1) / ROWS;
    for (int32_t c = 0; c < blocks; c += 2) {
        float out[2][2][ROWS * PANEL] __attribute__((aligned(64)));
        int both = c + 1 < blocks;
        const uint16_t *values = g->scratch->values + c * ROWS * PREFILL_KV_BLOCK;
        const RowTile tiles[2] = {{values, K_STEP, ROWS * K_STEP},
                                  {values + both * ROWS * PREFILL_KV_BLOCK, K_STEP, ROWS * K_STEP}};
        g->prefill->gemm(tiles, probs, n, PREFILL_KV_BLOCK, out);
        for (int i = 0; i <= both; i++)
            for (int j = 0; j < n; j++) {
                float *acc = acc_of(g, head + j) + (c + i) * ROWS * PANEL;
                for (int r = 0; r < ROWS * PANEL; r += PANEL) store(acc + r, load(acc + r) + load(out[i][j] + r));
            }
    }
}

/* Add the values that were left out, for the tokens that see them. */
static void accumulate_left_out(const HeadGroup *g, int32_t head, const float *scores, int64_t at) {
    int32_t d = g->heads->d_head;
    float *acc = acc_of(g, head);
    for (int32_t i = 0; i < g->n_left_out; i++) {
        int32_t j = g->left_out[i];
        const uint16_t *pair = probs_of(g, head) + j / 2 * 2 * PANEL + j % 2, *value = g->values + (at + j) * d;
        uint16_t probs[PANEL], repeated[PANEL];
        for (int t = 0; t < PANEL; t++) probs[t] = pair[2 * t];
        vi seen = load(scores + j * PANEL) != -INFINITY;
        for (int32_t c = 0; c < d; c++) {
            for (int t = 0; t < PANEL; t++) repeated[t] = value[c];
            vf before = load(acc + c * PANEL);
            store(acc + c * PANEL, blend(seen, before + load_bf16(probs) * load_bf16(repeated), before));
        }
    }
}

static void finish_group(const HeadGroup *g, const Operation *op, int32_t first_head) {
    int32_t d = g->heads->d_head;
    for (int32_t h = 0; h < g->n; h++) {
        const float *acc = acc_of(g, h);
        vf inverse_sum = 1.0f / g->sum[h];
        uint16_t *vnni = vnni_at((uint16_t *)op->output.data, (int32_t)op->output.stride, g->panel);
        vnni += (first_head + h) * d * PANEL;
        for (int32_t c = 0; c < d; c += 2)
            store_vnni(vnni + c * PANEL, load(acc + c * PANEL) * inverse_sum,
                       load(acc + (c + 1) * PANEL) * inverse_sum);
    }
}

static void attend_group(const Operation *op, HeadGroup *g, int32_t first_head) {
    const Heads *heads = g->heads;
    int64_t from = g->run->start + (int64_t)g->panel * PANEL, to = from + tokens_in(g->run, g->panel);
    int64_t first = heads->window && from >= heads->window ? from - heads->window + 1 : 0;
    init_group(g, op, first_head);
    for (int64_t at = first / PREFILL_KV_BLOCK * PREFILL_KV_BLOCK; at < to; at += PREFILL_KV_BLOCK) {
        transpose_values(g, at, to - at < PREFILL_KV_BLOCK ? (int32_t)(to - at) : PREFILL_KV_BLOCK);
        for (int32_t h = 0; h < g->n; h += 2) {
            int32_t n = h + 1 < g->n ? 2 : 1;
            score(g, h, n, at);
            for (int32_t j = 0; j < n; j++) {
                float *scores = g->scratch->scores + j * PREFILL_KV_BLOCK * PANEL;
                if (heads->softcap > 0.0f) kernels_avx512.softcap(scores, PREFILL_KV_BLOCK * PANEL, heads->softcap);
                apply_mask(g, scores, at);
                softmax(g, h + j, scores);
            }
            accumulate_values(g, h, n);
            for (int32_t j = 0; j < n; j++)
                accumulate_left_out(g, h + j, g->scratch->scores + j * PREFILL_KV_BLOCK * PANEL, at);
        }
    }
    finish_group(g, op, first_head);
}

/* Later tokens see more, so the threads take panels by turns. */
void prefill_attend(const Operation *op, const Run *run, PrefillScratch *prefill, int thread, int n_threads) {
    const Heads *heads = &op->heads;
    int32_t group = heads->n_heads / heads->n_kv_heads;
    for (int32_t unit = thread; unit < panels_of(run) * heads->n_kv_heads; unit += n_threads) {
        int32_t kv_head = unit % heads->n_kv_heads, last = (kv_head + 1) * group;
        for (int32_t head = kv_head * group; head < last; head += GROUP_HEADS) {
            HeadGroup g = {
                .heads = heads,
                .run = run,
                .prefill = prefill,
                .scratch = prefill->threads + thread,
                .panel = unit / heads->n_kv_heads,
                .n = last - head < GROUP_HEADS ? last - head : GROUP_HEADS,
                .keys = kv_at(run->keys, heads, run, kv_head, 0),
                .values = kv_at(run->values, heads, run, kv_head, 0),
            };
            attend_group(op, &g, head);
        }
    }
}

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
