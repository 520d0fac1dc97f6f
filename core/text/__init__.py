"""From a conversation to token ids and back to text. Must not know a transformer, logits or a file."""
