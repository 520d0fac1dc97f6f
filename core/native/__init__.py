"""An optional C library for the CPU: a forward pass in one call per token, at the speed at which weights can be read.

Must not know a model, text, sampling or files: it is a leaf, which core's backends and quantization use. It is built
with the package where there is a C compiler; after a change to it, `pip install -e .` builds it again. Without it
everything runs in torch.

In Python: `bindings` loads the library and mirrors its structures, `quantize` quantizes matrices and dequantizes them,
`bandwidth` measures how fast memory is read, `arena` takes memory in large pages.

In C (csrc): api.h is the interface and says what an operation is. decode.c carries operations out on a few tokens, with
linear.c and moe.c; prefill.c on many at once, with prefill_linear.c, prefill_rope.c and prefill_attention.c, in panels
(panels.h). workspace.c holds the memory for both, threadpool.c the threads, dispatch.c chooses the kernels. These are
written once (kernels/kernels_impl.h and the parts it includes) and compiled for each set of instructions (generic.c,
avx2.c, avx512.c, neon.c, neon_dotprod.c); amx.c is for prefill alone.
"""
