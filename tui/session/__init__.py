"""What one chat remembers: messages, settings, the model. Must not know textual."""
