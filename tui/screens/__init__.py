"""The full screens beside the chat."""
