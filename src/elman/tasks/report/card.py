"""`README.md` in a model's folder: a model card, for people and for hubs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import on_disk

CARD = "README.md"
TOKENS = """ `config.json` names every token that the model knows, and so tells something of
the texts that it learned from."""
#: A card that has this line is replaced by the next training.
MARK = "<!-- Written by elman. Delete this line to keep your changes. -->"


def write_card(
    folder: Path,
    kind: str,
    layers: str,
    facts: Mapping[str, str],
    use: str,
    hub: str,
    vocabulary: bool = True,
) -> None:
    """Write the card, unless somebody has written another.

    Args:
        folder: the model's.
        kind: the estimator's class.
        layers: the recurrent layers, as "elman.GRU".
        facts: what there is to say of the model and its training, by name.
        use: the command that uses it, with braces for the folder.
        hub: what hubs call such models.
        vocabulary: whether the model knows the tokens of the texts that it learned from.

    Raises:
        TaskError: it can't be written.
    """
    path = folder / CARD
    with on_disk(path, "written"):
        if path.exists() and MARK not in path.read_text("utf-8", "replace"):
            return
        pictures = sorted(file.name for file in folder.glob("*.png"))
        told = TOKENS if vocabulary else ""
        text = _card(folder.resolve().name, kind, layers, facts, use, hub, told, pictures)
        path.write_text(text, "utf-8")


def _card(
    name: str,
    kind: str,
    layers: str,
    facts: Mapping[str, str],
    use: str,
    hub: str,
    told: str,
    pictures: Sequence[str],
) -> str:
    rows = "\n".join(f"| {key} | {_cell(value)} |" for key, value in facts.items())
    drawn = "".join(f"\n![{Path(file).stem}]({file})\n" for file in pictures)
    return f"""---
library_name: elman
pipeline_tag: {hub}
tags: [elman, recurrent neural network]
---
{MARK}

# {_cell(name)}

A recurrent network ({layers}), trained with elman.

## Use

```sh
pip install "elman[tasks]"
{use.format(name)}
elman inspect {name}
```

```python
from elman.tasks import {kind}

model = {kind}.load("{name}")
```

The folder holds no code: `config.json` and `model.safetensors` are data.

## What it is

| | |
| --- | --- |
{rows}

The scores are those on data that training has not seen, from the same source. On data of another
kind, expect less.{told}
{drawn}"""


def _cell(text: str) -> str:
    """A text in a table of Markdown: in one line, without what would be read as markup."""
    escaped = "".join(f"\\{char}" if char in "\\|<>[]*_`#" else char for char in text)
    return " ".join(escaped.split())
