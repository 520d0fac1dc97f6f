"""By what a trained model is judged: fixed prompts, faults of a reply, n-grams to compare with. Knows no training."""
