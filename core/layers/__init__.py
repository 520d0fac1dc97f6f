"""The parts of a transformer: attention, positions, norms, feed-forward. Must not know a cache, a backend or a file."""
