"""Talks and remembers: the Textual application and the command line. Must not compute: that is core's."""
