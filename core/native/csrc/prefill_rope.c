/* ROPE_STORE_KV of a prefill: queries and keys normalized and rotated, keys and values stored in the cache. Must not
 * touch positions of the cache that belong to no token of the call. */
#include "prefill.h"

#ifdef HAVE_AVX512
#include "panels.h"

/* Cosines and sines of a panel, token beside token; places beyond the last token get its angles. */
static void gather_rope(const Heads *heads, const Run *run, int32_t panel, float *rope) {
    int32_t half = heads->rope_width / 2;
    for (int32_t t = 0; t < PANEL; t++) {
        int32_t token = panel * PANEL + t < run->n_tokens ? panel * PANEL + t : run->n_tokens - 1;
        const float *cos = run->cos[heads->rope_table] + (int64_t)(run->start + token) * half;
        const float *sin = run->sin[heads->rope_table] + (int64_t)(run->start + token) * half;
        for (int32_t i = 0; i < half; i++) {
            rope[i * PANEL + t] = cos[i];
            rope[(half + i) * PANEL + t] = sin[i];
        }
    }
}

static void apply_rope(float *x, const float *rope, int32_t half) {
    for (int32_t i = 0; i < half; i++) {
        vf a = load(x + i * PANEL), b = load(x + (half + i) * PANEL);
        vf cos = load(rope + i * PANEL), sin = load(rope + (half + i) * PANEL);
        store(x + i * PANEL, a * cos - b * sin);
        store(x + (half + i) * PANEL, b * cos + a * sin);
    }
}

static void normalize_head(const Heads *heads, const Norm *norm, int32_t head, float *x) {
    if (norm->kind == NO_NORM) return;
    const float *weight = norm->weight + (heads->norm_per_head ? (int64_t)head * heads->d_head : 0);
    NormStats stats = norm_stats(norm, x, heads->d_head);
    for (int32_t f = 0; f < heads->d_head; f++) store(x + f * PANEL, normalize_feature(norm, weight, stats, x, f));
}

void prefill_rope_store_kv(const Operation *op, const Run *run, PrefillScratch *prefill, int thread, int n_threads) {
    const Heads *heads = &op->heads;
    PrefillThreadScratch *scratch = prefill->threads + thread;
    int32_t d = heads->d_head, per_panel = heads->n_heads + heads->n_kv_heads, first, last, gathered_panel = -1;
    thread_range(panels_of(run) * per_panel, thread, n_threads, &first, &last);
    for (int32_t n = first; n < last; n++) {
        int32_t panel = n / per_panel, head = n % per_panel, kv_head = head - heads->n_heads;
        float *x = panel_at(op->input, panel) + (int64_t)head * d * PANEL;
        normalize_head(heads, kv_head < 0 ? &heads->query_norm : &heads->key_norm, kv_head < 0 ? head : kv_head, x);
        if (heads->rope_table >= 0 && panel != gathered_panel)
            gather_rope(heads, run, gathered_panel = panel, scratch->rope);
        if (heads->rope_table >= 0) apply_rope(x, scratch->rope, heads->rope_width / 2);
        if (kv_head < 0) continue;
        int64_t position = run->start + (int64_t)panel * PANEL;
        int32_t count = tokens_in(run, panel);
        const float *value = x + (int64_t)heads->n_kv_heads * d * PANEL;
        store_tokens(x, d, count, kv_at(run->keys, heads, run, kv_head, position), d);
        store_tokens(value, d, count, kv_at(run->values, heads, run, kv_head, position), d);
    }
}

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
