"""Lists of models to choose from. Must not know where they come from."""
