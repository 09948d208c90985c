"""A small learnable text: sentences of few words, in an order that has rules."""

import random

SETTINGS = {
    "embedding_size": 8,
    "hidden_size": 12,
    "num_layers": 2,
    "window": 16,
    "batch_size": 6,
    "epochs": 3,
    "lr": 0.02,
}


def make_text(sentences, seed=0):
    """Lines of a text in English and Chinese."""
    draw = random.Random(seed)
    lines = []
    for _ in range(sentences):
        who, what = draw.choice(["the cat", "a dog", "我们"]), draw.choice(["sees", "has", "买"])
        lines.append(f"{who} {what} {draw.choice(['two birds', '三本书', 'it'])}.\n")
    return "".join(lines)
