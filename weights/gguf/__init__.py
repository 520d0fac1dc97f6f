"""A model in a GGUF file, llama.cpp's format, as `ModelFiles`. Must not know checkpoint directories or the library."""
