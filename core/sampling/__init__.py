"""From logits to one token: the chain of samplers, the draw, and the record of both. Must not know a model or torch."""
