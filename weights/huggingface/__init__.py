"""A checkpoint directory of the Hugging Face hub. Must not know GGUF."""
