/* Attention kernel of one token, block by block of positions with a running softmax (as FlashAttention): some query
 * heads, the keys and values of the head that they share. A part of kernels_impl.h. A head's numbers must not depend on
 * which others share its tile. */

/* Up to TILE_HEADS query heads, and how far they have come, kept in one piece of scratch. */
typedef struct {
    Input queries[TILE_HEADS]; /* scaled; values and bf16 alone */
    float *acc;                /* (heads, width): values so far, weighted by e ** (score - max) */
    float *scores;             /* (heads, DECODE_KV_BLOCK) */
    float max[TILE_HEADS], sum[TILE_HEADS]; /* of the scores so far, and of e ** (score - max) */
    int width; /* d_head in pairs of whole vectors */
} HeadTile;

ALWAYS_INLINE vf load_channels(const void *from, int64_t offset, int32_t format, int left) {
    if (format == F32) return load_partial((const float *)from + offset, left);
    if (left >= LANES) return load_bf16((const uint16_t *)from + offset);
    uint16_t some[LANES] = {0};
    if (left > 0) memcpy(some, (const uint16_t *)from + offset, (size_t)left * sizeof *some);
    return load_bf16(some);
}

/* Products of one key with each query, lane by lane. */
ALWAYS_INLINE void multiply_key(const AttentionArgs *a, const HeadTile *tile, int heads, int64_t position,
                                const int32_t format, vf *sums) {
    const int d = a->d_head;
    const int64_t start = position * d;
    for (int i = 0; i < d; i += 2 * LANES) {
        if (format == F32 || d - i < 2 * LANES) {
            for (int j = i; j < d && j < i + 2 * LANES; j += LANES) {
                vf key = load_channels(a->keys, start + j, format, d - j);
                for (int h = 0; h < heads; h++) sums[h] += key * load(tile->queries[h].values + j);
            }
            continue;
        }
        const uint16_t *key = (const uint16_t *)a->keys + start + i;
        for (int h = 0; h < heads; h++) sums[h] = dot_bf16(sums[h], key, tile->queries + h, i);
    }
}

/* Ask for the key a block of positions ahead, and for the value that is needed after this block's scores. */
ALWAYS_INLINE void prefetch_kv(const AttentionArgs *a, int64_t position, const int32_t format) {
    const int64_t size = (int64_t)a->d_head * (format == F32 ? 4 : 2);
    const char *key = (const char *)a->keys + (position + DECODE_KV_BLOCK) * size;
    const char *value = (const char *)a->values + position * size;
    for (int64_t i = 0; i < size; i += 64) {
        __builtin_prefetch(key + i);
        __builtin_prefetch(value + i);
    }
}

/* The scores of `count` positions from `at` on, LANES positions at a time. */
ALWAYS_INLINE void score(const AttentionArgs *a, HeadTile *tile, int heads, int64_t at, int count,
                         const int32_t format) {
    for (int p = 0; p < count; p += LANES) {
        vf products[TILE_HEADS][LANES] = {0};
        int positions = count - p < LANES ? count - p : LANES;
        for (int j = 0; j < positions; j++) {
            vf sums[TILE_HEADS] = {0};
            prefetch_kv(a, at + p + j, format);
            multiply_key(a, tile, heads, at + p + j, format, sums);
            for (int h = 0; h < heads; h++) products[h][j] = sums[h];
        }
        for (int h = 0; h < heads; h++) reduce_add_each(products[h], tile->scores + h * DECODE_KV_BLOCK + p);
    }
}

/* A head's scores into e ** (score - max), and what was accumulated so far to the same maximum. */
ALWAYS_INLINE void softmax(const AttentionArgs *a, HeadTile *tile, int h, int count) {
    float *scores = tile->scores + h * DECODE_KV_BLOCK;
    if (a->softcap > 0.0f) softcap(scores, count, a->softcap);
    for (int i = count; i < (count + LANES - 1) / LANES * LANES; i++) scores[i] = -INFINITY;
    vf max = splat(tile->max[h]);
    for (int i = 0; i < count; i += LANES) max = maximum(load(scores + i), max);
    float new_max = reduce_max(max), rescale = 0.0f;
    if (new_max > tile->max[h]) {
        rescale = tile->sum[h] > 0.0f ? expf(tile->max[h] - new_max) : 0.0f;
        float *acc = tile->acc + h * tile->width;
        for (int i = 0; i < tile->width; i += LANES) store(acc + i, load(acc + i) * rescale);
        tile->sum[h] *= rescale;
        tile->max[h] = new_max;
    }
    vf sum = {0};
    for (int i = 0; i < count; i += LANES) {
        vf shifted = load(scores + i) - new_max;
        vf weight = blend(shifted < -87.0f, splat(0.0f), vexp(shifted));
        store(scores + i, weight);
        sum += weight;
    }
    tile->sum[h] += reduce_add(sum);
}

/* Add values times probabilities, two vectors of channels at a time: enough sums on the way to keep the multipliers
 * busy. */
ALWAYS_INLINE void accumulate_values(const AttentionArgs *a, HeadTile *tile, int heads, int64_t at, int count,
                                     const int32_t format) {
    const int d = a->d_head;
    for (int i = 0; i < d; i += 2 * LANES) {
        vf low[TILE_HEADS], high[TILE_HEADS];
        for (int h = 0; h < heads; h++) {
            low[h] = load(tile->acc + h * tile->width + i);
            high[h] = load(tile->acc + h * tile->width + i + LANES);
        }
        for (int j = 0; j < count; j++) {
            int64_t from = (at + j) * d + i;
            vf first = load_channels(a->values, from, format, d - i);
            vf second = d - i > LANES ? load_channels(a->values, from + LANES, format, d - i - LANES) : splat(0.0f);
            for (int h = 0; h < heads; h++) {
                float weight = tile->scores[h * DECODE_KV_BLOCK + j];
                low[h] += first * weight;
                high[h] += second * weight;
            }
        }
        for (int h = 0; h < heads; h++) {
            store(tile->acc + h * tile->width + i, low[h]);
            store(tile->acc + h * tile->width + i + LANES, high[h]);
        }
    }
}

ALWAYS_INLINE void attend_heads(const AttentionArgs *a, int first_head, const int heads, const int32_t format) {
    const int d = a->d_head, width = padded_d_head(d);
    HeadTile tile = {.width = width};
    float *scratch = a->scratch;
    for (int h = 0; h < heads; h++, scratch += width) tile.queries[h].values = scratch;
    for (int h = 0; h < heads; h++, scratch += width / 2) tile.queries[h].bf16 = (uint16_t *)scratch;
    tile.acc = scratch;
    tile.scores = scratch + heads * width;
    memset(a->scratch, 0, sizeof(float) * (size_t)(tile.scores - a->scratch));
    for (int h = 0; h < heads; h++) {
        tile.max[h] = -INFINITY;
        for (int i = 0; i < d; i++)
            tile.queries[h].values[i] = a->queries[(int64_t)(first_head + h) * d + i] * a->scale;
        convert_input(tile.queries + h, width, format);
    }
    for (int64_t at = a->begin; at < a->end; at += DECODE_KV_BLOCK) {
        int count = a->end - at < DECODE_KV_BLOCK ? (int)(a->end - at) : DECODE_KV_BLOCK;
        score(a, &tile, heads, at, count, format);
        for (int h = 0; h < heads; h++) softmax(a, &tile, h, count);
        accumulate_values(a, &tile, heads, at, count, format);
    }
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < d; i++)
            a->out[(int64_t)(first_head + h) * d + i] = tile.acc[h * width + i] / tile.sum[h];
}

static void attend(const AttentionArgs *a) {
    for (int h = 0; h < a->n_heads; h += TILE_HEADS) {
#define ATTEND_F32(heads) attend_heads(a, h, heads, F32)
#define ATTEND_BF16(heads) attend_heads(a, h, heads, BF16)
        if (a->format == F32) UP_TO_FOUR(a->n_heads - h, ATTEND_F32)
        else UP_TO_FOUR(a->n_heads - h, ATTEND_BF16)
#undef ATTEND_F32
#undef ATTEND_BF16
    }
}
