/* Which set of instructions is used. */
#include <string.h>

#include "prefill.h"

const Kernels *kernels = &kernels_plain;
static int amx; /* whether many tokens are read with it */

static const Kernels *const known[] = { /* the best one first */
#ifdef HAVE_AVX512
    &kernels_avx512,
#endif
#ifdef HAVE_AVX2
    &kernels_avx2,
#endif
#ifdef HAVE_DOTPROD
    &kernels_dotprod,
#endif
#ifdef HAVE_NEON
    &kernels_neon,
#endif
    &kernels_plain};

static int able(const Kernels *wanted) {
#ifdef HAVE_AVX2
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    if (wanted == &kernels_avx2) return avx2;
#endif
#ifdef HAVE_AVX512
    if (wanted == &kernels_avx512)
        return avx2 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") &&
               __builtin_cpu_supports("avx512bf16");
#endif
#ifdef HAVE_NEON
    if (wanted == &kernels_neon) return 1;
#endif
#ifdef HAVE_DOTPROD
    if (wanted == &kernels_dotprod) return dotprod_is_here();
#endif
    return wanted == &kernels_plain;
}

int32_t logitscope_use(const char *target) {
    int matrices = target && !strcmp(target, "amx");
    const char *wanted = matrices ? "avx512" : target;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if ((wanted && strcmp(known[i]->name, wanted)) || !able(known[i])) continue;
        int found = (matrices || !target) && !strcmp(known[i]->name, "avx512") && amx_is_here();
        if (matrices && !found) return 0;
        kernels = known[i];
        amx = found;
        return 1;
    }
    return 0;
}

const char *logitscope_target(void) { return amx ? "amx" : kernels->name; }

int32_t logitscope_interface(void) { return INTERFACE; }

int32_t logitscope_can_prefill(void) { return !strcmp(kernels->name, "avx512"); }

int32_t logitscope_prefill(Pool *pool, const Operation *operations, int32_t n_operations, const Run *run) {
    return many_run(pool, operations, n_operations, run, amx);
}
