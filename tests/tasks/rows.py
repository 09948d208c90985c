"""A small learnable task: which of two words a text contains decides its label."""

import random


def make_rows(count, seed=0):
    """Texts of different lengths around one of four words, and the label of the word."""
    draw = random.Random(seed)
    words = {"很好": "positive", "喜欢": "positive", "很差": "negative", "讨厌": "negative"}
    texts, labels = [], []
    for _ in range(count):
        word = draw.choice(list(words))
        around = ["".join(draw.choices("的了是我有在这那书", k=draw.randint(0, 12))) for _ in "ab"]
        texts.append(around[0] + word + around[1])
        labels.append(words[word])
    return texts, labels
