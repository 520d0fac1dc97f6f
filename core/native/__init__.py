"""An optional decoding step in C for the CPU: one call per token, at the speed at which the weights can be read.

It is built with the package where there is a C compiler; after a change to it, `pip install -e .` builds it again.
Without it everything runs in torch. `library` loads it, `plan` writes down what it has to do for a model, `step` does
it, `packing` quantises matrices and reads them for torch. Must not know text, sampling or files.

In C: api.h says what an operation is, decode.c carries them out, threadpool.c shares the work, kernels_impl.h is the
arithmetic, compiled once for each set of instructions (generic.c, avx2.c, avx512.c, neon.c, neon_dotprod.c).
"""
