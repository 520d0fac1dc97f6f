"""The command line: options, and the commands that run without a screen. Must not know textual."""
