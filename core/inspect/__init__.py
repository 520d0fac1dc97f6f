"""What a model computed on the way to its logits, in an eager pass of its own. Must not know a backend or screen."""
