"""A small learnable task: a text has a label for each kind of word in it, and a number."""

import random

KINDS = {"music": ["song", "band"], "sport": ["ball", "goal"], "food": ["soup", "salt"]}


def make_labelled(count, seed=0):
    """Texts, the labels of each (some have none), and a number that they add up to."""
    draw = random.Random(seed)
    texts, labels, numbers = [], [], []
    for _ in range(count):
        chosen = [kind for kind in KINDS if draw.random() < 0.4]
        words = [draw.choice(KINDS[kind]) for kind in chosen for _ in "ab"]
        words += draw.choices(["the", "of", "we", "have", "it"], k=draw.randint(2, 7))
        draw.shuffle(words)
        texts.append(" ".join(words))
        labels.append(chosen)
        numbers.append(10 + 2.5 * ("music" in chosen) - 4 * ("food" in chosen))
    return texts, labels, numbers


SETTINGS = {
    "tokens": "words",
    "embedding_size": 8,
    "hidden_size": 8,
    "epochs": 6,
    "batch_size": 16,
    "lr": 0.03,
    "token_dropout": 0.0,
    "dropout": 0.1,
    "verbose": 0,
}
