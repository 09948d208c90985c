"""Pictures of a report, as PNG files; matplotlib draws them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import on_disk

if TYPE_CHECKING:  # it needs scikit-learn, the states of a model don't
    from .evaluation import Evaluation

MOST = 60  # labels of a confusion matrix; of more, those with the most mistakes
INSTALL = 'pip install "elman[tasks]"'
# matplotlib's own font has no Chinese characters; of these the first that is installed does.
CHINESE = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC"),
    *("Microsoft YaHei", "PingFang SC", "Hiragino Sans GB", "Heiti SC", "SimHei"),
    *("WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Arial Unicode MS"),
)


USUAL = (6.4, 4.8)  # inches
MISSING = f"Pictures need the package matplotlib: {INSTALL}"
Draw = Callable[[Any, Sequence[str]], object]  # on matplotlib's axes, with names as they are shown


def save_pictures(folder: Path, found: Evaluation, epochs: Sequence[Mapping[str, Any]] = ()) -> str:
    """Draw the confusion matrix, the reliability and, of `epochs`, the losses; lines on it."""
    chosen = _most_mistaken(found)
    inches = max(6.4, 2 + 0.2 * len(chosen))
    names = [found.labels[label] for label in chosen]
    drawings: dict[str, tuple[Draw, tuple[float, float], Sequence[str]]] = {
        "confusion": (partial(_confusion, found, chosen), (inches, 0.75 * inches), names),
        "reliability": (lambda axes, _: _reliability(axes, found), USUAL, ()),
    }
    if epochs:
        drawings["loss"] = (lambda axes, _: _losses(axes, epochs), USUAL, ())
    notes = [save_picture(folder / f"{name}.png", *drawing) for name, drawing in drawings.items()]
    return _listed(drawings, notes)


def save_losses(
    folder: Path,
    epochs: Sequence[Mapping[str, Any]],
    loss: str = "cross entropy",
    **further: Draw,
) -> str:
    """Draw the losses of the epochs, if there are any, and further pictures; lines on it."""
    drawings = {**further}
    if epochs:
        drawings["loss"] = lambda axes, _: _losses(axes, epochs, loss)
    notes = [save_picture(folder / f"{name}.png", draw) for name, draw in drawings.items()]
    return _listed(drawings, notes)


def _listed(names: Iterable[str], notes: Iterable[str]) -> str:
    """Which pictures there are, and what there is to say of them."""
    said = [*dict.fromkeys(filter(None, notes))]
    if said == [MISSING]:
        return MISSING
    return "\n".join([f"Pictures: {', '.join(f'{name}.png' for name in names)}", *said])


def save_picture(
    path: Path, draw: Draw, size: tuple[float, float] = USUAL, names: Sequence[str] = ()
) -> str:
    """Write a PNG file that `draw` fills; what there is to say of it, or "".

    Of the `names` those that no font can show become numbers; the note says so.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        return MISSING
    fonts = _fonts()
    shown = _showable(names, fonts)
    with rc_context({"font.family": fonts, "text.parse_math": False}):  # names may have dollars
        figure = Figure(size, dpi=150, layout="constrained")
        draw(figure.add_subplot(), shown)
        with on_disk(path, "written"):
            figure.savefig(path)
    changed = [f"{new} {old}" for old, new in zip(names, shown, strict=True) if old != new]
    if not changed:
        return ""
    more = f" and {len(changed) - 5} more" if changed[5:] else ""
    return (
        f"{path.name}: no font here has all characters, so numbers stand for {len(changed)} names "
        f"({', '.join(changed[:5])}{more}); for Chinese install for example {CHINESE[0]} "
        "(fonts-noto-cjk)"
    )


def _fonts() -> list[str]:
    """matplotlib's own font, and one with Chinese characters if one is installed."""
    from matplotlib import font_manager

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return ["DejaVu Sans", *[name for name in CHINESE if name in installed][:1]]


def _showable(names: Sequence[str], fonts: Iterable[str]) -> list[str]:
    """The names, or in place of those that the fonts don't have the characters of, numbers."""
    from matplotlib import font_manager

    known: set[int] = set()
    for font in fonts:
        known |= font_manager.get_font(font_manager.findfont(font)).get_charmap().keys()
    return [
        name if known.issuperset(map(ord, name)) else f"#{number}"
        for number, name in enumerate(names, 1)
    ]


def _losses(axes: Any, epochs: Sequence[Mapping[str, Any]], loss: str = "cross entropy") -> None:
    for key, name in (("train_loss", "training"), ("valid_loss", "held out")):
        known = [(epoch["epoch"], epoch[key]) for epoch in epochs if key in epoch]
        if known:
            axes.plot(*zip(*known, strict=True), marker="o", label=name)
    axes.set(
        title="Loss after each epoch",
        xlabel="epoch",
        ylabel=f"loss ({loss})",
        xlim=(0.5, max(1, len(epochs)) + 0.5),
        ylim=(0, None),
    )
    axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    if epochs:
        axes.legend()


def _most_mistaken(found: Evaluation) -> list[int]:
    """The numbers of the labels that are shown, in their order."""
    right = np.diag(found.confusion)
    wrong = found.confusion.sum(0) + found.confusion.sum(1) - 2 * right
    return sorted(np.argsort(-wrong, kind="stable")[:MOST].tolist())


def _confusion(found: Evaluation, chosen: Sequence[int], axes: Any, names: Sequence[str]) -> None:
    counts = found.confusion[np.ix_(chosen, chosen)]
    shares = counts / np.maximum(found.support[chosen], 1)[:, None]
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.figure.colorbar(image, label=f"share of the label's {found.noun}")
    title = f"What {found.noun} of each label are taken for; {found.accuracy:.1%} are right"
    if len(chosen) < len(found.labels):
        title += f"\n(the {len(chosen)} labels of {len(found.labels)} with the most mistakes)"
    axes.set(title=title, xlabel="prediction", ylabel="label")
    numbers, small = range(len(names)), {"fontsize": 10 if len(names) <= 20 else 7}
    axes.set_xticks(numbers, names, rotation=90 if sum(map(len, names)) > 60 else 0, **small)
    axes.set_yticks(numbers, names, **small)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=color, **small)


def _reliability(axes: Any, found: Evaluation) -> None:
    texts, confidence, right = found.reliability[found.reliability[:, 0] > 0].T
    bins = len(found.reliability)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="perfectly calibrated")
    axes.plot(confidence, right, marker="o", label="predictions")
    axes.bar(
        np.floor(confidence * bins) / bins + 0.5 / bins,
        texts / texts.sum(),
        width=0.9 / bins,
        alpha=0.2,
        label=f"share of the {found.noun}",
    )
    axes.set(
        title="How often predictions of a confidence are right",
        xlabel="confidence",
        ylabel="share predicted right",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    axes.legend(loc="upper left")
