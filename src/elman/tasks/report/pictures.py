"""Pictures of a report, as PNG files; matplotlib, which draws them, is an extra of its own."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TaskError
from .evaluation import BINS, Evaluation

NAMED = 40  # labels that the axes of the confusion matrix can still name
INSTALL = 'pip install "elman[plot]"'
# matplotlib's own font has no Chinese characters; of these the first that is installed does.
CHINESE = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC"),
    *("Microsoft YaHei", "PingFang SC", "Hiragino Sans GB", "Heiti SC", "SimHei"),
    *("WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "Arial Unicode MS"),
)


def save_pictures(folder: Path, found: Evaluation, epochs: Sequence[Mapping[str, Any]] = ()) -> str:
    """Draw the confusion matrix, the reliability and, of `epochs`, the losses; a line on it."""
    drawings = {"confusion": lambda axes: _confusion(axes, found)}
    drawings["reliability"] = lambda axes: _reliability(axes, found)
    if epochs:
        drawings["loss"] = lambda axes: _losses(axes, epochs)
    notes = [save_picture(folder / f"{name}.png", draw) for name, draw in drawings.items()]
    return next(filter(None, notes), f"Pictures: {', '.join(f'{name}.png' for name in drawings)}")


def save_losses(folder: Path, epochs: Sequence[Mapping[str, Any]]) -> str:
    """Draw the losses of the epochs; a line on it."""
    note = save_picture(folder / "loss.png", lambda axes: _losses(axes, epochs))
    return note or "Picture: loss.png"


def save_picture(
    path: Path, draw: Callable[[Any], object], size: tuple[float, float] = (6.4, 4.8)
) -> str:
    """Write a PNG file that `draw` fills, given matplotlib's axes; what is wrong with it, or ""."""
    try:
        from matplotlib import font_manager, rc_context
        from matplotlib.figure import Figure
    except ImportError:
        return f"Pictures need the package matplotlib: {INSTALL}"
    installed = {font.name for font in font_manager.fontManager.ttflist}
    fonts = ["DejaVu Sans", *(name for name in CHINESE if name in installed)]
    settings: Any = {"font.family": fonts[:2], "text.parse_math": False}  # labels may have dollars
    with rc_context(settings), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure = Figure(size, dpi=150, layout="constrained")
        draw(figure.add_subplot())
        try:
            figure.savefig(path)
        except OSError as error:
            raise TaskError(f"{path}: can't be written ({error.strerror or error}).") from None
    if any("missing from font" in str(warning.message) for warning in caught):
        return (
            f"{path}: no font here has all its characters; install one, for Chinese for example "
            f"{CHINESE[0]} (fonts-noto-cjk)"
        )
    return ""


def _losses(axes: Any, epochs: Sequence[Mapping[str, Any]]) -> None:
    for key, name in (("train_loss", "training"), ("valid_loss", "held out")):
        known = [(epoch["epoch"], epoch[key]) for epoch in epochs if key in epoch]
        if known:
            axes.plot(*zip(*known, strict=True), marker="o", label=name)
    axes.set(xlabel="epoch", ylabel="loss (cross entropy)", ylim=(0, None))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend()


def _confusion(axes: Any, found: Evaluation) -> None:
    shares = found.confusion / np.maximum(found.support, 1)[:, None]
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.figure.colorbar(image, label="share of the label's texts")
    axes.set(xlabel="prediction", ylabel="label")
    if len(found.labels) > NAMED:
        return
    numbers, small = range(len(found.labels)), {"fontsize": min(10, 200 / len(found.labels))}
    axes.set_xticks(numbers, found.labels, rotation=90 if _long(found.labels) else 0, **small)
    axes.set_yticks(numbers, found.labels, **small)
    for (row, column), count in np.ndenumerate(found.confusion):
        if count:
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=color, **small)


def _long(labels: Iterable[str]) -> bool:
    return sum(map(len, labels)) > 60


def _reliability(axes: Any, found: Evaluation) -> None:
    texts, confidence, right = found.reliability[found.reliability[:, 0] > 0].T
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="as sure as right")
    axes.plot(confidence, right, marker="o", label="predictions")
    axes.bar(
        np.floor(confidence * BINS) / BINS + 0.5 / BINS,
        texts / texts.sum(),
        width=0.9 / BINS,
        alpha=0.2,
        label="share of the texts",
    )
    axes.set(xlabel="confidence", ylabel="share predicted right", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left")
