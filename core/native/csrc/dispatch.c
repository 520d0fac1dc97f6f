/* Which kernels are used, of those that were compiled: the best that this processor knows, or those asked for. Must not
 * let decoding use AMX: its kernels are for prefill alone, and decoding goes on with AVX-512. */
#include <string.h>

#include "prefill.h"

const Kernels *kernels = &kernels_generic;
static int use_amx; /* in a prefill */

static const Kernels *const compiled[] = { /* the best first */
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
    &kernels_generic};

static int is_supported(const Kernels *set) {
#ifdef HAVE_AVX2
    __builtin_cpu_init();
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    if (set == &kernels_avx2) return avx2;
#endif
#ifdef HAVE_AVX512
    if (set == &kernels_avx512)
        return avx2 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") &&
               __builtin_cpu_supports("avx512bf16");
#endif
#ifdef HAVE_NEON
    if (set == &kernels_neon) return 1;
#endif
#ifdef HAVE_DOTPROD
    if (set == &kernels_dotprod) return has_dotprod();
#endif
    return set == &kernels_generic;
}

int32_t logitscope_select_kernels(const char *name) {
    int amx_asked = name && !strcmp(name, "amx");
    const char *set_name = amx_asked ? "avx512" : name;
    for (size_t i = 0; i < sizeof compiled / sizeof *compiled; i++) {
        if ((set_name && strcmp(compiled[i]->name, set_name)) || !is_supported(compiled[i])) continue;
        int with_amx = (amx_asked || !name) && !strcmp(compiled[i]->name, "avx512") && has_amx();
        if (amx_asked && !with_amx) return 0;
        kernels = compiled[i];
        use_amx = with_amx;
        return 1;
    }
    return 0;
}

const char *logitscope_kernels_name(void) { return use_amx ? "amx" : kernels->name; }

int32_t logitscope_interface(void) { return INTERFACE; }

int32_t logitscope_can_prefill(void) { return !strcmp(kernels->name, "avx512"); }

int32_t logitscope_prefill(Workspace *workspace, const Operation *operations, int32_t n_operations, const Run *run) {
    return prefill_run(workspace, operations, n_operations, run, use_amx);
}
