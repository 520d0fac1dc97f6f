"""Models of the Hugging Face hub come into our own folder, and are removed from it. Must not know the screen.

Importing this loads nothing; `pull` loads the hub's client, which `remove` does without.
"""
