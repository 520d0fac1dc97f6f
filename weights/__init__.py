"""Fetches: checkpoints on disk and on the hub become core's objects. Must not know the screen.

A model is located, fitted and read (`load`, and `load_draft` with one that drafts for it). Whichever format its files
are in, `open` makes `model_files.ModelFiles` of them, and `assemble` a transformer of their tensors.
"""
