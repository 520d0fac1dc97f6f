"""A model on its way from the hub, in a process of its own. Must not know textual."""
