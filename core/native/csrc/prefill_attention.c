/* Attention of many tokens: keys times queries, a softmax down each column, values times that. A part of prefill.c. */
#include "prefill.h"

#ifdef HAVE_AVX512
#include "panels.h"

/* Query heads of one panel that share a key head. */
typedef struct {
    const Heads *heads;
    const Run *run;
    Many *many;
    Room *room;
    int32_t panel, n;  /* of heads */
    const uint16_t *keys, *values;
    int32_t n_odd, odd[KEYS_AT_ONCE]; /* positions at hand whose value holds what is no finite number */
    vf most[GROUP_AT_ONCE], sum[GROUP_AT_ONCE];
} Group;

static float *mixed_of(const Group *g, int32_t head) { return g->room->mixed + (int64_t)head * whole(g->heads->d_head) * PANEL; }
static uint16_t *queries_of(const Group *g, int32_t head) {
    return g->room->queries + (int64_t)head * whole(g->heads->d_head) * PANEL;
}
static uint16_t *shares_of(const Group *g, int32_t head) { return g->room->shares + head * KEYS_AT_ONCE * PANEL; }

static void begin(Group *g, const Operation *op, int32_t first_head) {
    int32_t d = g->heads->d_head;
    for (int32_t h = 0; h < g->n; h++) {
        const float *x = panel_at(op->input, g->panel) + (int64_t)(first_head + h) * d * PANEL;
        uint16_t *pairs = queries_of(g, h);
        float scale = g->heads->scale;
        for (int32_t f = 0; f < whole(d); f += 2)
            store_pair(pairs + f * PANEL, f < d ? load(x + f * PANEL) * scale : all(0.0f),
                       f + 1 < d ? load(x + (f + 1) * PANEL) * scale : all(0.0f));
        memset(mixed_of(g, h), 0, (size_t)(whole(d) * PANEL) * sizeof(float));
        g->most[h] = all(-INFINITY);
        g->sum[h] = all(0.0f);
    }
}

static int is_finite(const uint16_t *value, int32_t d) {
    int odd = 0;
    for (int32_t c = 0; c < d; c++) odd |= (value[c] & 0x7f80) == 0x7f80;
    return !odd;
}

/* Values of some positions with channels down, (blocks of 16, 2 steps, 16, 32): as 16 rows of a matrix each. Those that
 * are no numbers are left out, or they would harm the tokens that do not see them too: 0 * NaN is NaN. */
static void turn_values(Group *g, int64_t at, int32_t count) {
    int32_t d = g->heads->d_head;
    uint16_t *to = g->room->values;
    memset(to, 0, (size_t)(whole(d) * KEYS_AT_ONCE) * sizeof *to);
    g->n_odd = 0;
    for (int32_t j = 0; j < count; j++) {
        const uint16_t *value = g->values + (at + j) * d;
        uint16_t *column = to + j / STEP * ROWS * STEP + j % STEP;
        if (!is_finite(value, d)) g->odd[g->n_odd++] = j;
        else
            for (int32_t c = 0; c < d; c++) column[c / ROWS * ROWS * KEYS_AT_ONCE + c % ROWS * STEP] = value[c];
    }
}

/* 16 keys from `at` on as rows of a matrix. */
static Sixteen keys_at(const Group *g, int64_t at, uint16_t *room) {
    int32_t d = g->heads->d_head;
    if (d % STEP == 0 && at + ROWS <= g->run->capacity) return (Sixteen){g->keys + at * d, d, STEP};
    int64_t left = g->run->capacity - at;
    return copied(g->keys + at * d, left < 0 ? 0 : left < ROWS ? (int32_t)left : ROWS, d, room);
}

/* The scores of two heads (or the last one) for a stretch of positions. */
static void score(const Group *g, int32_t head, int32_t n, int64_t at) {
    int32_t d = whole(g->heads->d_head);
    const uint16_t *queries[2] = {queries_of(g, head), queries_of(g, head + n - 1)};
    for (int32_t k = 0; k < KEYS_AT_ONCE; k += 2 * ROWS) {
        float out[2][2][ROWS * PANEL] __attribute__((aligned(64)));
        uint16_t *room = g->room->keys + k * d;
        const Sixteen rows[2] = {keys_at(g, at + k, room), keys_at(g, at + k + ROWS, room + ROWS * d)};
        g->many->multiply(rows, queries, n, d, out);
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < n; j++)
                memcpy(g->room->scores + (j * KEYS_AT_ONCE + k + i * ROWS) * PANEL, out[i][j], sizeof out[i][j]);
    }
}

/* What a token may not see scores minus infinity: what comes after it, and what has left its window. */
static void hide(const Group *g, float *scores, int64_t at) {
    const int32_t window = g->heads->window;
    int32_t first = g->panel * PANEL, newest = g->run->n_tokens - 1;
    int64_t offset = at - g->run->start;
    if (offset + KEYS_AT_ONCE <= first && !window) return;
    vi own; /* each token's position, counted from the first of this pass */
    for (int t = 0; t < PANEL; t++) own[t] = first + t < newest ? first + t : newest;
    for (int32_t k = 0; k < KEYS_AT_ONCE; k++) {
        vi here = (vi){0} + (int32_t)(offset + k);
        vi hidden = here > own;
        if (window) hidden |= here <= own - window;
        store(scores + k * PANEL, choose(hidden, all(-INFINITY), load(scores + k * PANEL)));
    }
}

/* Scores into shares, and what was mixed so far into the same measure. */
static void weigh(Group *g, int32_t head, float *scores) {
    uint16_t *shares = shares_of(g, head);
    vf most = g->most[head], sum = {0};
    for (int32_t k = 0; k < KEYS_AT_ONCE; k++) most = larger(load(scores + k * PANEL), most);
    vf base = choose(most == -INFINITY, all(0.0f), most); /* where nothing has been seen yet */
    for (int32_t k = 0; k < KEYS_AT_ONCE; k += 2) {
        vf share[2];
        for (int i = 0; i < 2; i++) {
            vf shifted = load(scores + (k + i) * PANEL) - base;
            share[i] = choose(shifted < -87.0f, all(0.0f), exponential(shifted));
            sum += share[i];
        }
        store_pair(shares + k * PANEL, share[0], share[1]);
    }
    vf before = g->most[head] - base;
    vf faded = choose(before < -87.0f, all(0.0f), exponential(before));
    float *mixed = mixed_of(g, head);
    for (int32_t c = 0; c < g->heads->d_head; c++) store(mixed + c * PANEL, load(mixed + c * PANEL) * faded);
    g->sum[head] = g->sum[head] * faded + sum;
    g->most[head] = most;
}

static void mix(const Group *g, int32_t head, int32_t n) {
    const uint16_t *shares[2] = {shares_of(g, head), shares_of(g, head + n - 1)};
    int32_t blocks = (g->heads->d_head + ROWS - 1) / ROWS;
    for (int32_t c = 0; c < blocks; c += 2) {
        float out[2][2][ROWS * PANEL] __attribute__((aligned(64)));
        int both = c + 1 < blocks;
        const uint16_t *values = g->room->values + c * ROWS * KEYS_AT_ONCE;
        const Sixteen rows[2] = {{values, STEP, ROWS * STEP}, {values + both * ROWS * KEYS_AT_ONCE, STEP, ROWS * STEP}};
        g->many->multiply(rows, shares, n, KEYS_AT_ONCE, out);
        for (int i = 0; i <= both; i++)
            for (int j = 0; j < n; j++) {
                float *mixed = mixed_of(g, head + j) + (c + i) * ROWS * PANEL;
                for (int r = 0; r < ROWS * PANEL; r += PANEL) store(mixed + r, load(mixed + r) + load(out[i][j] + r));
            }
    }
}

/* The values that were left out, for the tokens that see them. */
static void mix_odd(const Group *g, int32_t head, const float *scores, int64_t at) {
    int32_t d = g->heads->d_head;
    float *mixed = mixed_of(g, head);
    for (int32_t i = 0; i < g->n_odd; i++) {
        int32_t j = g->odd[i];
        const uint16_t *pair = shares_of(g, head) + j / 2 * 2 * PANEL + j % 2, *value = g->values + (at + j) * d;
        uint16_t shares[PANEL], same[PANEL];
        for (int t = 0; t < PANEL; t++) shares[t] = pair[2 * t];
        vi seen = load(scores + j * PANEL) != -INFINITY;
        for (int32_t c = 0; c < d; c++) {
            for (int t = 0; t < PANEL; t++) same[t] = value[c];
            vf before = load(mixed + c * PANEL);
            store(mixed + c * PANEL, choose(seen, before + load_halves(shares) * load_halves(same), before));
        }
    }
}

static void end(const Group *g, const Operation *op, int32_t first_head) {
    int32_t d = g->heads->d_head;
    for (int32_t h = 0; h < g->n; h++) {
        const float *mixed = mixed_of(g, h);
        vf whole_share = 1.0f / g->sum[h];
        int32_t place = (first_head + h) * d;
        uint16_t *pairs = pairs_at((uint16_t *)op->output.at, (int32_t)op->output.stride, g->panel) + place * PANEL;
        for (int32_t c = 0; c < d; c += 2)
            store_pair(pairs + c * PANEL, load(mixed + c * PANEL) * whole_share, load(mixed + (c + 1) * PANEL) * whole_share);
    }
}

static void attend_group(const Operation *op, Group *g, int32_t first_head) {
    const Heads *heads = g->heads;
    int64_t from = g->run->start + (int64_t)g->panel * PANEL, to = from + tokens_in(g->run, g->panel);
    int64_t first = heads->window && from >= heads->window ? from - heads->window + 1 : 0;
    begin(g, op, first_head);
    for (int64_t at = first / KEYS_AT_ONCE * KEYS_AT_ONCE; at < to; at += KEYS_AT_ONCE) {
        turn_values(g, at, to - at < KEYS_AT_ONCE ? (int32_t)(to - at) : KEYS_AT_ONCE);
        for (int32_t h = 0; h < g->n; h += 2) {
            int32_t n = h + 1 < g->n ? 2 : 1;
            score(g, h, n, at);
            for (int32_t j = 0; j < n; j++) {
                float *scores = g->room->scores + j * KEYS_AT_ONCE * PANEL;
                if (heads->softcap > 0.0f) kernels_avx512.cap(scores, KEYS_AT_ONCE * PANEL, heads->softcap);
                hide(g, scores, at);
                weigh(g, h + j, scores);
            }
            mix(g, h, n);
            for (int32_t j = 0; j < n; j++) mix_odd(g, h + j, g->room->scores + j * KEYS_AT_ONCE * PANEL, at);
        }
    }
    end(g, op, first_head);
}

/* Later tokens see more, so threads take panels in turns. */
void many_attend(const Operation *op, const Run *run, Many *many, int thread, int threads) {
    const Heads *heads = &op->heads;
    int32_t group = heads->n_heads / heads->n_kv_heads;
    for (int32_t unit = thread; unit < panels_of(run) * heads->n_kv_heads; unit += threads) {
        int32_t kv_head = unit % heads->n_kv_heads, last = (kv_head + 1) * group;
        for (int32_t head = kv_head * group; head < last; head += GROUP_AT_ONCE) {
            Group g = {
                .heads = heads,
                .run = run,
                .many = many,
                .room = many->rooms + thread,
                .panel = unit / heads->n_kv_heads,
                .n = last - head < GROUP_AT_ONCE ? last - head : GROUP_AT_ONCE,
                .keys = place_of(run->keys, heads, run, kv_head, 0),
                .values = place_of(run->values, heads, run, kv_head, 0),
            };
            attend_group(op, &g, head);
        }
    }
}

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
