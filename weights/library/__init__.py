"""The models on this machine: where they lie, what they are called, what they are. Must not know torch or a network."""
