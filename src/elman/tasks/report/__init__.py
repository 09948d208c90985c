"""What a trained model is worth: scores, comparisons, pictures."""
