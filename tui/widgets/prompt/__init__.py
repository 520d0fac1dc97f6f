"""Where messages are typed. Must not know who answers."""
