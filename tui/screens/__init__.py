"""The full screens beside the chat: help, models, fetching. Must not know the engine."""
