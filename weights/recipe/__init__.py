"""How the shipped models were made: data, tokenizer, training, export, evaluation.

Nothing here runs when the program does; each step is a command of its own (see README.md beside this file).
Knows the corpus and core, never the screen.
"""
