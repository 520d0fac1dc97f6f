/* The micro-kernel of prefill for AMX: Intel's instructions for whole matrices, on servers from 2023, 16 rows by 32
 * columns at a time. Must not be called by a thread that has not called amx_begin. */
#include "../prefill.h"

#ifdef HAVE_AMX
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__clang__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx512f,amx-tile,amx-bf16"))), apply_to = function)
#else
#pragma GCC target("avx512f,amx-tile,amx-bf16")
#include <immintrin.h>
#endif

/* Linux gives the registers to those who ask: ARCH_REQ_XCOMP_PERM and XFEATURE_XTILEDATA of arch_prctl(2). */
enum { REQUEST_XCOMP_PERM = 0x1023, XTILEDATA = 18 };

int has_amx(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> 22 & 1) || !(d >> 24 & 1)) return 0;
    return !syscall(SYS_arch_prctl, REQUEST_XCOMP_PERM, XTILEDATA);
}

/* All eight registers hold 16 rows of 64 bytes. */
static const struct {
    uint8_t palette, first, none[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} tile_config = {.palette = 1, .bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

void amx_begin(void) { _tile_loadconfig(&tile_config); }

void amx_end(void) { _tile_release(); }

void gemm_amx(const RowTile *tiles, const uint16_t *const *panels, int32_t n, int32_t columns,
              float (*out)[2][ROWS * 16]) {
    const uint16_t *a = tiles[0].data, *b = tiles[1].data, *x = panels[0], *y = panels[n - 1];
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int k = 0; k < columns; k += 32) {
        _tile_loadd(4, a, (size_t)tiles[0].stride * 2);
        _tile_loadd(6, x, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(5, b, (size_t)tiles[1].stride * 2);
        _tile_dpbf16ps(2, 5, 6);
        if (n == 2) {
            _tile_loadd(7, y, 64);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(3, 5, 7);
        }
        a += tiles[0].step;
        b += tiles[1].step;
        x += 512;
        y += 512;
    }
    _tile_stored(0, out[0][0], 64);
    _tile_stored(2, out[1][0], 64);
    if (n == 2) {
        _tile_stored(1, out[0][1], 64);
        _tile_stored(3, out[1][1], 64);
    }
}

#if defined(__clang__)
#pragma clang attribute pop
#endif
#else
int has_amx(void) { return 0; }
void amx_begin(void) {}
void amx_end(void) {}
void gemm_amx(const RowTile *tiles, const uint16_t *const *panels, int32_t n, int32_t columns,
              float (*out)[2][ROWS * 16]) {
    (void)tiles, (void)panels, (void)n, (void)columns, (void)out;
}
#endif
