"""What proposes tokens to read ahead: n-grams of the text, or a draft model. Never changes what is chosen."""
