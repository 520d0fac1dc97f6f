/* Attention of one token: some query heads, the keys and values of the head that they share. A part of kernels_impl.h. */
/* Up to HEADS_AT_ONCE query heads over a stretch of positions, kept in one piece of scratch. */
typedef struct {
    Input queries[HEADS_AT_ONCE]; /* scaled; values and halves alone */
    float *mixed;                 /* (heads, width): values so far, weighted by e ** (score - most) */
    float *scores;                /* (heads, POSITIONS_AT_ONCE) */
    float most[HEADS_AT_ONCE], sum[HEADS_AT_ONCE];
    int width; /* d_head in pairs of whole vectors */
} Tile;

ALWAYS_INLINE vf load_channels(const void *from, int64_t offset, int32_t format, int left) {
    if (format == F32) return load_some((const float *)from + offset, left);
    if (left >= LANES) return load_halves((const uint16_t *)from + offset);
    uint16_t some[LANES] = {0};
    if (left > 0) memcpy(some, (const uint16_t *)from + offset, (size_t)left * sizeof *some);
    return load_halves(some);
}

/* Products of one key with each query, lane by lane. */
ALWAYS_INLINE void multiply_key(const Attending *a, const Tile *tile, int heads, int64_t position, const int32_t format,
                                vf *sums) {
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
        for (int h = 0; h < heads; h++) sums[h] = add_products(sums[h], key, tile->queries + h, i);
    }
}

/* Ask for the key a block of positions ahead, and for the value that is mixed in after this block's scores. */
ALWAYS_INLINE void ask_for(const Attending *a, int64_t position, const int32_t format) {
    const int64_t size = (int64_t)a->d_head * (format == F32 ? 4 : 2);
    const char *key = (const char *)a->keys + (position + POSITIONS_AT_ONCE) * size;
    const char *value = (const char *)a->values + position * size;
    for (int64_t i = 0; i < size; i += 64) {
        __builtin_prefetch(key + i);
        __builtin_prefetch(value + i);
    }
}

/* The scores of `count` positions from `at` on, LANES positions at a time. */
ALWAYS_INLINE void score(const Attending *a, Tile *tile, int heads, int64_t at, int count, const int32_t format) {
    for (int p = 0; p < count; p += LANES) {
        vf products[HEADS_AT_ONCE][LANES] = {0};
        int positions = count - p < LANES ? count - p : LANES;
        for (int j = 0; j < positions; j++) {
            vf sums[HEADS_AT_ONCE] = {0};
            ask_for(a, at + p + j, format);
            multiply_key(a, tile, heads, at + p + j, format, sums);
            for (int h = 0; h < heads; h++) products[h][j] = sums[h];
        }
        for (int h = 0; h < heads; h++) totals(products[h], tile->scores + h * POSITIONS_AT_ONCE + p);
    }
}

/* Turn a head's scores into weights, and what was mixed so far into the same measure. */
ALWAYS_INLINE void weigh(const Attending *a, Tile *tile, int h, int count) {
    float *scores = tile->scores + h * POSITIONS_AT_ONCE;
    if (a->softcap > 0.0f) cap(scores, count, a->softcap);
    for (int i = count; i < (count + LANES - 1) / LANES * LANES; i++) scores[i] = -INFINITY;
    vf most = all(tile->most[h]);
    for (int i = 0; i < count; i += LANES) most = larger(load(scores + i), most);
    float now = largest(most), faded = 0.0f;
    if (now > tile->most[h]) {
        faded = tile->sum[h] > 0.0f ? expf(tile->most[h] - now) : 0.0f;
        float *mixed = tile->mixed + h * tile->width;
        for (int i = 0; i < tile->width; i += LANES) store(mixed + i, load(mixed + i) * faded);
        tile->sum[h] *= faded;
        tile->most[h] = now;
    }
    vf sum = {0};
    for (int i = 0; i < count; i += LANES) {
        vf shifted = load(scores + i) - now;
        vf weight = choose(shifted < -87.0f, all(0.0f), exponential(shifted));
        store(scores + i, weight);
        sum += weight;
    }
    tile->sum[h] += total(sum);
}

/* Two vectors of channels at a time: enough sums on the way to keep the multipliers busy. */
ALWAYS_INLINE void mix(const Attending *a, Tile *tile, int heads, int64_t at, int count, const int32_t format) {
    const int d = a->d_head;
    for (int i = 0; i < d; i += 2 * LANES) {
        vf low[HEADS_AT_ONCE], high[HEADS_AT_ONCE];
        for (int h = 0; h < heads; h++) {
            low[h] = load(tile->mixed + h * tile->width + i);
            high[h] = load(tile->mixed + h * tile->width + i + LANES);
        }
        for (int j = 0; j < count; j++) {
            int64_t from = (at + j) * d + i;
            vf first = load_channels(a->values, from, format, d - i);
            vf second = d - i > LANES ? load_channels(a->values, from + LANES, format, d - i - LANES) : all(0.0f);
            for (int h = 0; h < heads; h++) {
                float weight = tile->scores[h * POSITIONS_AT_ONCE + j];
                low[h] += first * weight;
                high[h] += second * weight;
            }
        }
        for (int h = 0; h < heads; h++) {
            store(tile->mixed + h * tile->width + i, low[h]);
            store(tile->mixed + h * tile->width + i + LANES, high[h]);
        }
    }
}

ALWAYS_INLINE void attend_heads(const Attending *a, int first_head, const int heads, const int32_t format) {
    const int d = a->d_head, width = attend_width(d);
    Tile tile = {.width = width};
    float *room = a->scratch;
    for (int h = 0; h < heads; h++, room += width) tile.queries[h].values = room;
    for (int h = 0; h < heads; h++, room += width / 2) tile.queries[h].halves = (uint16_t *)room;
    tile.mixed = room;
    tile.scores = room + heads * width;
    memset(a->scratch, 0, sizeof(float) * (size_t)(tile.scores - a->scratch));
    for (int h = 0; h < heads; h++) {
        tile.most[h] = -INFINITY;
        for (int i = 0; i < d; i++)
            tile.queries[h].values[i] = a->queries[(int64_t)(first_head + h) * d + i] * a->scale;
        prepare(tile.queries + h, width, format);
    }
    for (int64_t at = a->first; at < a->last; at += POSITIONS_AT_ONCE) {
        int count = a->last - at < POSITIONS_AT_ONCE ? (int)(a->last - at) : POSITIONS_AT_ONCE;
        score(a, &tile, heads, at, count, format);
        for (int h = 0; h < heads; h++) weigh(a, &tile, h, count);
        mix(a, &tile, heads, at, count, format);
    }
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < d; i++)
            a->out[(int64_t)(first_head + h) * d + i] = tile.mixed[h * width + i] / tile.sum[h];
}

static void attend(const Attending *a) {
    for (int h = 0; h < a->n_heads; h += HEADS_AT_ONCE) {
#define HEADS_OF(heads) attend_heads(a, h, heads, F32)
#define HEADS_OF_HALVES(heads) attend_heads(a, h, heads, BF16)
        if (a->format == F32) UP_TO_FOUR(a->n_heads - h, HEADS_OF)
        else UP_TO_FOUR(a->n_heads - h, HEADS_OF_HALVES)
#undef HEADS_OF
#undef HEADS_OF_HALVES
    }
}
