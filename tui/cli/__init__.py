"""The command line: what can be said on it, and the commands that run without a screen. Must not know textual."""
