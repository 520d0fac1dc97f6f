"""A GGUF file, llama.cpp's format. Must not know directories of the hub."""
