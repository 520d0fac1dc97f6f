"""Lists of models to choose from. Must not know who looks for them or fetches them."""
