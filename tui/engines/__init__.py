"""Engines as the screen sees them, behind one protocol. Must not know textual."""
