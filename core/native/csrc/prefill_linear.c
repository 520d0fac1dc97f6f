/* LINEAR of a prefill: matrices times panels of tokens, with AVX-512 or AMX.
 *
 * 16 rows of the weights are taken as they lie in memory, or dequantized into BF16 once, and meet every panel while
 * they are in the cache. A token's numbers must not depend on which others are in the call, nor on the number of
 * threads. */
#include "prefill.h"

#ifdef HAVE_AVX512
#include "panels.h"

/* The quants of a group of 16 rows, four columns to a lane (8, 16, 4), times their scales, as 16 rows of 32 columns in
 * BF16. */
ALWAYS_INLINE void dequantize_group(const __m512i *quads, const uint16_t *scales, uint16_t *out) {
    uint8_t sides[2][4][64]; /* columns 0 to 15 and 16 to 31; rows i, i + 4, i + 8, i + 12 */
    for (int s = 0; s < 2; s++) {
        const __m512i *v = quads + 4 * s;
        __m512i a = _mm512_unpacklo_epi32(v[0], v[1]), b = _mm512_unpackhi_epi32(v[0], v[1]);
        __m512i c = _mm512_unpacklo_epi32(v[2], v[3]), d = _mm512_unpackhi_epi32(v[2], v[3]);
        _mm512_storeu_si512(sides[s][0], _mm512_unpacklo_epi64(a, c));
        _mm512_storeu_si512(sides[s][1], _mm512_unpackhi_epi64(a, c));
        _mm512_storeu_si512(sides[s][2], _mm512_unpacklo_epi64(b, d));
        _mm512_storeu_si512(sides[s][3], _mm512_unpackhi_epi64(b, d));
    }
    float scale[ROWS];
    _mm512_storeu_ps(scale, _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)scales)));
    for (int r = 0; r < ROWS; r++) {
        __m512 values[2];
        for (int s = 0; s < 2; s++) {
            __m128i bytes = _mm_loadu_si128((const __m128i *)(sides[s][r % 4] + r / 4 * 16));
            values[s] = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)), _mm512_set1_ps(scale[r]));
        }
        _mm512_storeu_si512(out + r * K_STEP, (__m512i)_mm512_cvtne2ps_pbh(values[1], values[0]));
    }
}

/* A group of a quantized matrix without its offset, four columns to a lane. */
ALWAYS_INLINE void load_quants(int32_t format, const uint8_t *weights, __m512i *quads) {
    if (format == INT8) {
        for (int i = 0; i < 8; i++)
            quads[i] = _mm512_xor_si512(_mm512_loadu_si512(weights + 64 * i), _mm512_set1_epi8((char)128));
        return;
    }
    const __m512i low = _mm512_set1_epi8(15), eight = _mm512_set1_epi8(8);
    for (int i = 0; i < 4; i++) {
        __m512i both = _mm512_loadu_si512(weights + 64 * i);
        quads[2 * i] = _mm512_sub_epi8(_mm512_and_si512(both, low), eight);
        quads[2 * i + 1] = _mm512_sub_epi8(_mm512_and_si512(_mm512_srli_epi16(both, 4), low), eight);
    }
}

static void dequantize_rows(const Matrix *matrix, int32_t first, uint16_t *out) {
    const int32_t groups = matrix->columns / GROUP, size = group_bytes(matrix->format);
    const uint8_t *weights = (const uint8_t *)matrix->weights + (int64_t)(first / ROWS) * groups * size;
    const uint16_t *scales = matrix->scales + (int64_t)(first / ROWS) * groups * ROWS;
    for (int32_t g = 0; g < groups; g++, weights += size, scales += ROWS, out += ROWS * K_STEP) {
        __m512i quads[8];
        load_quants(matrix->format, weights, quads);
        dequantize_group(quads, scales, out);
    }
}

/* 16 rows, where they lie if they can be multiplied there, else in the buffer. */
static RowTile row_tile(const Matrix *matrix, int32_t first, uint16_t *buffer) {
    int32_t columns = matrix->columns, count = rows_in_block(matrix, first);
    if (matrix->format == BF16) {
        const uint16_t *from = (const uint16_t *)matrix->weights + (int64_t)first * columns;
        if (count == ROWS && columns % K_STEP == 0) return (RowTile){from, columns, K_STEP};
        return copy_row_tile(from, count, columns, buffer);
    }
    dequantize_rows(matrix, first, buffer);
    return (RowTile){buffer, K_STEP, ROWS * K_STEP};
}

/* Ask for the part of 16 rows' bytes that is to come from memory while panel `part` of `parts` is multiplied. */
static void prefetch_rows(const Matrix *matrix, int32_t first, int32_t part, int32_t parts) {
    if (first >= matrix->rows) return;
    int64_t group = matrix->format == BF16 ? ROWS * GROUP * 2 : group_bytes(matrix->format);
    int64_t lines = group * matrix->columns / GROUP / 64;
    const char *at = (const char *)matrix->weights + first / ROWS * lines * 64;
    for (int64_t i = lines * part / parts; i < lines * (part + 1) / parts; i++) _mm_prefetch(at + i * 64, _MM_HINT_T1);
}

/* 16 rows of a product for a panel's tokens, scaled, to row `out_row` of the output and those after it. */
static void store_output(const Operation *op, vf *v, int32_t count, int32_t out_row, int32_t panel) {
    if (op->output.vnni) {
        uint16_t *to = vnni_at((uint16_t *)op->output.data, (int32_t)op->output.stride, panel) + out_row * PANEL;
        for (int32_t r = count; r < ROWS; r++) v[r] = splat(0.0f);
        for (int32_t r = 0; r < count; r += 2) store_vnni(to + r * PANEL, v[r] * op->scale, v[r + 1] * op->scale);
        return;
    }
    float *to = panel_at(op->output, panel) + out_row * PANEL;
    for (int32_t r = 0; r < count; r++)
        store(to + r * PANEL, (op->add ? load(to + r * PANEL) : splat(0.0f)) + op->scale * v[r]);
}

/* Two blocks of an operation's matrices that are multiplied together, and where their rows begin in the output. */
typedef struct {
    const Matrix *matrix[2];
    int32_t first[2], out_row[2];
    int n;
} BlockPair;

/* Blocks `number` and `other` (or none, if negative) of all the matrices, counted through; if gated, those of the
 * gate and of what it gates. */
static BlockPair block_pair(const Operation *op, int32_t number, int32_t other) {
    BlockPair pair = {.n = other < 0 ? 1 : 2};
    const int32_t row = number * ROWS;
    if (op->gated) return (BlockPair){{op->matrices, op->matrices + 1}, {row, row}, {row}, 2};
    for (int side = 0; side < pair.n; side++) {
        int32_t left = side ? other : number;
        const Matrix *matrix = op->matrices;
        for (; left >= n_blocks(matrix); left -= n_blocks(matrix++)) pair.out_row[side] += matrix->rows;
        pair.matrix[side] = matrix;
        pair.first[side] = left * ROWS;
        pair.out_row[side] += left * ROWS;
    }
    return pair;
}

/* What follows a product: bias, activation, gate; for panel j of the two that were multiplied. */
static void finish_pair(const Operation *op, const BlockPair *pair, float (*out)[2][ROWS * PANEL], int j,
                        int32_t panel) {
    vf v[2][ROWS];
    int32_t counts[2];
    for (int i = 0; i < pair->n; i++) {
        const Matrix *matrix = pair->matrix[i];
        counts[i] = rows_in_block(matrix, pair->first[i]);
        for (int32_t r = 0; r < counts[i]; r++) {
            v[i][r] = load(out[i][j] + r * PANEL);
            if (matrix->bias) v[i][r] += matrix->bias[pair->first[i] + r];
            if (!op->gated || i == 0) v[i][r] = apply_activation(op->activation, v[i][r]);
        }
    }
    if (op->gated)
        for (int32_t r = 0; r < counts[0]; r++) v[0][r] *= v[1][r];
    for (int i = 0; i < (op->gated ? 1 : pair->n); i++) store_output(op, v[i], counts[i], pair->out_row[i], panel);
}

void prefill_linear(const Operation *op, const Run *run, Workspace *workspace, int thread, int n_threads) {
    PrefillScratch *prefill = workspace->prefill;
    PrefillThreadScratch *scratch = prefill->threads + thread;
    int32_t columns = op->matrices->columns, panels = panels_of(run), total = 0, first, last;
    uint16_t *vnni = op->input.vnni ? (uint16_t *)op->input.data : prefill->vnni;
    if (!op->input.vnni) {
        thread_range(panels, thread, n_threads, &first, &last);
        for (int32_t p = first; p < last; p++)
            pack_panel(&op->norm, panel_at(op->input, p), columns, vnni_at(vnni, columns, p));
        threadpool_barrier(workspace->threadpool);
    }
    for (int32_t m = 0; m < (op->gated ? 1 : op->n_matrices); m++) total += n_blocks(op->matrices + m);
    thread_range(total, thread, n_threads, &first, &last);
    int32_t half = op->gated ? last - first : (last - first + 1) / 2;
    for (int32_t number = first; number < first + half; number++) {
        BlockPair pair = block_pair(op, number, number + half < last ? number + half : -1);
        RowTile tiles[2];
        for (int i = 0; i < 2; i++)
            tiles[i] = i < pair.n ? row_tile(pair.matrix[i], pair.first[i], scratch->rows[i]) : tiles[0];
        for (int32_t p = 0; p < panels; p += 2) {
            float out[2][2][ROWS * PANEL] __attribute__((aligned(64)));
            int n = p + 1 < panels ? 2 : 1;
            const uint16_t *inputs[2] = {vnni_at(vnni, columns, p), vnni_at(vnni, columns, p + n - 1)};
            for (int i = 0; i < pair.n; i++) prefetch_rows(pair.matrix[i], pair.first[i] + ROWS, p, panels + 1);
            prefill->gemm(tiles, inputs, n, padded(columns), out);
            for (int j = 0; j < n; j++) finish_pair(op, &pair, out, j, p + j);
        }
    }
}

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
