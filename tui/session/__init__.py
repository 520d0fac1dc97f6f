"""What is remembered while the program runs: the chat, settings, the model, the engine. Must not know textual."""
