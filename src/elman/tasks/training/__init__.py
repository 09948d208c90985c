"""How a sequence model is trained: the loop, what it records, what it shows."""
