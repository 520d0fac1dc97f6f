"""A checkpoint directory in the layout of the Hugging Face hub, as `ModelFiles`. Must not know GGUF or the network."""
