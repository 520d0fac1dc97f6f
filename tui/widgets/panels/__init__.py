"""The panels beside the chat, and the lines, bars and tables that panes are drawn with. Must not know the engine."""
