"""Whether a model fits in memory, and how its weights are held there. Must not know files."""
