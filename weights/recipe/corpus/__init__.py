"""The text that the models are trained on: sources, cleaning, our own conversations, token ids. Knows no model."""
