"""Engines behind one protocol, and the process that ours runs in. Must not know textual."""
