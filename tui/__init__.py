"""Talks and remembers: the Textual application and the command line."""
