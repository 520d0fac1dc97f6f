"""The panels and panes of the screen, one idea each; they show values and post messages. Must not know an engine."""
