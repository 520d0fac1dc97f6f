"""Fetches: checkpoints on disk become core's objects. Knows no screen."""
