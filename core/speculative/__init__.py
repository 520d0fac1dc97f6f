"""What proposes tokens to read ahead: n-grams of the text, or a draft model. Must not know sampling.

It never changes what is chosen.
"""
