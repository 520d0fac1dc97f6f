"""The terminal itself: what it sends, and how it is given back. Must not know what is drawn on it."""
