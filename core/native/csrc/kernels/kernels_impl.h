/* The kernels, written once for all sets of instructions: each includes this file after simd.h, after saying
 * KERNELS_NAME and KERNELS, and after defining what the compiler cannot do well by itself:
 *
 *   vf dot_bf16(vf sum, const uint16_t *weights, const Input *x, int k)  adds 2 * LANES BF16 weights times x from k on
 *   void reduce_add_each(const vf *v, float *out)                        the sums of each of LANES vectors
 *   void load_scales(const uint16_t *scales, float *out)                 16 of F16 as floats
 *   void dot_int8_group(const uint8_t *weights, const Input *x, int g, const int tokens, vi (*products)[ROWS / LANES])
 *   void dot_int4_group(...)                          group g of 16 rows: the integers' products with each input
 *
 * Must not contain an instruction of one processor. */

/* call(n), or call(4) where n is more, each compiled for its number */
#define UP_TO_FOUR(n, call) \
    switch (n) { \
        case 1: call(1); break; \
        case 2: call(2); break; \
        case 3: call(3); break; \
        default: call(4); break; \
    }

#include "vector_impl.h"

#include "gemv_impl.h" /* needs vector_impl.h */

#include "quantize_impl.h" /* needs vector_impl.h */

#include "attention_impl.h" /* needs all of the above */

static float sum_memory(const void *memory, int64_t n_bytes) {
    const float *low = memory, *high = low + n_bytes / 128 * 16, *end = low + n_bytes / 4;
    vf sums[4] = {0};
    for (int64_t left = n_bytes / 128; left; left--, low += 16, high += 16) { /* two streams, as weights come in */
        prefetch(low);
        prefetch(high);
        for (int i = 0; i < 16; i += LANES) {
            sums[i / LANES % 2] += load(low + i);
            sums[2 + i / LANES % 2] += load(high + i);
        }
    }
    for (; high < end; high++) sums[0][0] += *high;
    return reduce_add(sums[0] + sums[1] + sums[2] + sums[3]);
}

const Kernels KERNELS = {
    .name = KERNELS_NAME,
    .convert_input = convert_input,
    .gemv = gemv,
    .normalize = normalize,
    .rope = rope,
    .activate = activate,
    .softcap = softcap,
    .attend = attend,
    .from_float = from_float,
    .to_float = to_float,
    .get_row = get_row,
    .dequantize = dequantize,
    .quantize = quantize,
    .sum_memory = sum_memory,
};
