"""Models of the Hugging Face hub come into our own folder. Must not know the screen."""
