"""Whether a model fits in memory, with how much context, and how its weights are held there. Must not know files."""
