"""What computes a forward pass: torch, the C library or a CUDA graph, chosen in one place. Must not know sampling."""
