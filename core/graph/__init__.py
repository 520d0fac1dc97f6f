"""Decoding on a GPU: the work for one token is recorded once, and then done again in one go for every token.

Eager torch starts hundreds of small kernels for a token, and starting one takes longer than running it. `fixed.py` is
the transformer's pass over one token with fixed addresses and shapes; `recorder.py` records it as a CUDA graph;
`compiling.py` has it fused by torch's compiler; `replays.py` holds what was recorded and compares it with the ordinary
pass first; `step.py` is what the decoder calls.
"""
