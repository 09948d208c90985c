"""A small learnable task: cities and people among other characters."""

import json
import random

NAMES = {"北京": "city", "上海": "city", "江泽民": "person", "李": "person"}


def make_tagged(count, seed=0):
    """Texts of different lengths, and the spans of the names in them."""
    draw = random.Random(seed)
    texts, spans = [], []
    for _ in range(count):
        text, found = "", []
        for _ in range(draw.randint(0, 3)):
            text += "".join(draw.choices("的了是我有在这那书", k=draw.randint(0, 6)))
            name = draw.choice(list(NAMES))
            found.append((len(text), len(text) + len(name), NAMES[name]))
            text += name
        text += "".join(draw.choices("的了是我有在这那书", k=draw.randint(1, 6)))
        texts.append(text)
        spans.append(found)
    return texts, spans


def make_auxiliary(texts):
    """Auxiliary tags: for each character whether it is part of a name."""
    return [["name" if c in "北京上海江泽民李" else "other" for c in text] for text in texts]


def write_jsonl(path, rows):
    """Such rows as a file, whose path it returns."""
    lines = [
        json.dumps({"text": text, "label": spans}, ensure_ascii=False)
        for text, spans in zip(*rows, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


SETTINGS = {
    "embedding_size": 8,
    "hidden_size": 8,
    "dropout": 0.1,
    "epochs": 4,
    "batch_size": 8,
    "lr": 0.03,
}
