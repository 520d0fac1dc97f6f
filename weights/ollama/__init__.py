"""Models of Ollama: a manifest, a GGUF file, and what lies beside it. Must not know where Ollama keeps them."""
