"""Weights in 8 and 4 bits: how they are packed, and the layers that use them. Must not know a model or a file."""
