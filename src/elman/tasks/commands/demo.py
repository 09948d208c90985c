"""`elman demo`: everything once, on reviews in Chinese."""

from pathlib import Path
from typing import Annotated

import typer

# Sentences that nobody reviewed.
SENTENCES = [
    "房间很干净,前台态度也好,下次还会住这里。",
    "等了两个小时才入住,空调还是坏的,太失望了。",
    "这本书文笔优美,孩子读得津津有味。",
    "电脑用了三天就死机,客服推来推去,后悔买了。",
]


def demo(
    output: Annotated[Path, typer.Option(help="The model's folder.")] = Path("elman-demo"),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the reviews.")] = 4,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1)] = 0,
    compare: Annotated[bool, typer.Option(help="Train the same on torch.nn.RNN, too.")] = True,
) -> None:
    """Learn from 35,000 Chinese reviews what praise is; compare; judge a few new sentences."""
    from ..classifier import SequenceClassifier
    from ..classify import Classify
    from ..data.reviews import read_reviews
    from ..job import Plan, run_job
    from .terminal import console

    terminal = console()
    model = SequenceClassifier(epochs=epochs, random_state=seed)
    job = Classify(model, read_reviews(), compare=compare)
    if not run_job(job, Plan(output, baseline=True), terminal):
        return
    terminal.print("\nSentences that it hasn't seen:")
    loaded = SequenceClassifier.load(output)
    for text, row in zip(SENTENCES, loaded.predict_proba(SENTENCES).tolist(), strict=True):
        best = max(range(len(row)), key=row.__getitem__)
        terminal.print(f"  {loaded.classes_[best]}  {row[best]:.2f}  {text}")
