/* Queries, keys and values of many tokens: normalised, turned and stored. A part of prefill.c. */
#include "prefill.h"

#ifdef HAVE_AVX512
#include "panels.h"

/* The angles of a panel, token beside token; those beyond the last token are turned as it is. */
static void gather_turns(const Heads *heads, const Run *run, int32_t panel, float *turns) {
    int32_t half = heads->rotary_width / 2;
    for (int32_t t = 0; t < PANEL; t++) {
        int32_t token = panel * PANEL + t < run->n_tokens ? panel * PANEL + t : run->n_tokens - 1;
        const float *cos = run->cos[heads->turns] + (int64_t)(run->start + token) * half;
        const float *sin = run->sin[heads->turns] + (int64_t)(run->start + token) * half;
        for (int32_t i = 0; i < half; i++) {
            turns[i * PANEL + t] = cos[i];
            turns[(half + i) * PANEL + t] = sin[i];
        }
    }
}

static void turn(float *x, const float *turns, int32_t half) {
    for (int32_t i = 0; i < half; i++) {
        vf a = load(x + i * PANEL), b = load(x + (half + i) * PANEL);
        vf cos = load(turns + i * PANEL), sin = load(turns + (half + i) * PANEL);
        store(x + i * PANEL, a * cos - b * sin);
        store(x + (half + i) * PANEL, b * cos + a * sin);
    }
}

static void normalise_head(const Heads *heads, const Norm *norm, int32_t head, float *x) {
    if (norm->kind == NO_NORM) return;
    const float *weight = norm->weight + (heads->norm_per_head ? (int64_t)head * heads->d_head : 0);
    Measure m = measure(norm, x, heads->d_head);
    for (int32_t f = 0; f < heads->d_head; f++) store(x + f * PANEL, normalised(norm, weight, m, x, f));
}

void many_heads(const Operation *op, const Run *run, Many *many, int thread, int threads) {
    const Heads *heads = &op->heads;
    Room *room = many->rooms + thread;
    int32_t d = heads->d_head, each = heads->n_heads + heads->n_kv_heads, first, last, turned_for = -1;
    share(panels_of(run) * each, thread, threads, &first, &last);
    for (int32_t n = first; n < last; n++) {
        int32_t panel = n / each, head = n % each, kv_head = head - heads->n_heads;
        float *x = panel_at(op->input, panel) + (int64_t)head * d * PANEL;
        normalise_head(heads, kv_head < 0 ? &heads->query_norm : &heads->key_norm, kv_head < 0 ? head : kv_head, x);
        if (heads->turns >= 0 && panel != turned_for) gather_turns(heads, run, turned_for = panel, room->turns);
        if (heads->turns >= 0) turn(x, room->turns, heads->rotary_width / 2);
        if (kv_head < 0) continue;
        int64_t position = run->start + (int64_t)panel * PANEL;
        int32_t count = tokens_in(run, panel);
        const float *value = x + (int64_t)heads->n_kv_heads * d * PANEL;
        write_tokens(x, d, count, place_of(run->keys, heads, run, kv_head, position), d);
        write_tokens(value, d, count, place_of(run->values, heads, run, kv_head, position), d);
    }
}

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
