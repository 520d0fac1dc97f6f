"""The chat pane: one widget of lines, however long the chat. Must not know the engine, nor how a thought is marked."""
