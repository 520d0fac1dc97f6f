"""The panels beside the chat, and what they are drawn with. Must not know the engine."""
