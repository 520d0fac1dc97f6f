"""Reading what a stranger wrote, within bounds. Must not know what it is for, nor anything else of weights."""
