"""Decoding on a GPU: the work for one token is captured once, and then replayed in one go for every token.

Eager torch starts hundreds of small kernels for a token, and starting one takes longer than running it.
`static_forward` is the transformer's pass over one token with fixed addresses and shapes; `capture` records it as a
CUDA graph; `compiler` has it fused by torch's compiler; `dispatcher` holds what was captured and compares it with the
eager pass first; `backend` is what the decoder calls. Must not know sampling.
"""
