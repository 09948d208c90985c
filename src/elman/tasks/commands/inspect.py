"""`elman inspect`: what a model is, and what it makes of a text."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ..errors import TaskError

MOST = 20  # labels, or spans, that are listed


def inspect(
    model: Annotated[Path, typer.Argument(help="A model's folder.")],
    text: Annotated[
        str | None, typer.Option(help="Show the hidden states while this text is read.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Where to draw them; by default states.png in MODEL.")
    ] = None,
) -> None:
    """Show what a model is, how it was trained, what runs it, and its states over a text."""
    import elman

    from ..data.values import is_utf8
    from ..models.opening import load_model
    from ..networks.layers import layer_name
    from ..report.pictures import MISSING, save_picture
    from ..report.record import facts
    from ..report.states import draw_states, read_states, show_states
    from ..report.tables import show_facts, show_parameters
    from .start import console

    if text is not None and not text.strip():
        raise TaskError("--text is empty; expected something to read.")
    if not is_utf8(text or ""):
        raise TaskError("--text is not UTF-8; set the terminal and the locale to UTF-8.")
    opened, terminal = load_model(model), console()
    states = read_states(opened, text or "?")  # a first call: then there are kernels to explain
    network = opened.network
    size = getattr(opened, "n_estimators", 1)
    several = {"networks": f"{size}; states are of the first"} if size > 1 else {}
    about = {
        "model": f"{layer_name(opened.cell, opened.backend)} in {model}",
        **several,
        **opened.about(),
        **facts(model, opened.training_),
    }
    show_facts(about, terminal)
    terminal.print()
    show_parameters(network, terminal)
    terminal.print(f"\n{elman.explain(network)}")
    if text is None:
        return
    terminal.print()
    show_states(states, terminal)
    terminal.print()
    answer = states.answer
    if hasattr(opened, "classes_"):  # whose labels have no order, as spans do
        answer = sorted(answer, key=lambda one: -one[1])
    for label, chance in answer[:MOST]:
        terminal.print(label if chance is None else f"{chance:6.1%}  {label}")
    if answer[MOST:]:
        terminal.print(f"        and {len(answer) - MOST} more")
    path = picture or model / "states.png"
    width = max(6.4, 2 + 0.2 * sum(map(len, states.tokens)))
    draw = partial(draw_states, states)
    note = save_picture(path, draw, (width, 6.4), states.tokens)
    terminal.print(f"\n{note if note == MISSING else f'Picture: {path}'}")
    if note not in ("", MISSING):
        terminal.print(note)
