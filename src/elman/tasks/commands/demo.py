"""`elman demo`: each use once, in a few minutes."""

from pathlib import Path
from typing import Annotated

import typer


def demo(
    parts: Annotated[
        list[str] | None, typer.Argument(help="What to show: reviews, names, text; by default all.")
    ] = None,
    output: Annotated[Path, typer.Option(help="A folder for the models.")] = Path("elman-demo"),
    seconds: Annotated[float, typer.Option(min=1, help="The longest training of a part.")] = 55,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1)] = 0,
    compare: Annotated[
        bool, typer.Option("--compare", help="In the end time training beside torch.nn's GRU.")
    ] = False,
) -> None:
    """Train small models in a few minutes, and try them out.

    Reviews are judged, names found in sentences, and a text is made up.
    Everything begins anew when it is called again.
    """
    import torch

    from ..demo import PARTS, compare_with_torch, run_parts
    from ..errors import TaskError, meant
    from .start import console

    for name in parts or ():
        if name not in PARTS:
            known = ", ".join(PARTS)
            raise TaskError(f"A part is one of {known}. Got {name!r}.{meant(name, PARTS)}")
    chosen, terminal = {name: PARTS[name] for name in parts or PARTS}, console()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # where other programs keep the cores busy, threads wait for threads
    try:
        run_parts(chosen, output, seed, seconds, terminal)
        if compare:
            compare_with_torch(seed, min(seconds, 20), terminal)
    except KeyboardInterrupt:
        terminal.print("\nInterrupted; the same command begins again.")
        raise
    finally:
        torch.set_num_threads(threads)
    terminal.print("\nWhat to try next:")
    for name, part in chosen.items():
        for command in part.commands:
            terminal.print(f"  {command.format(output / name)}")
    terminal.print("  elman train classify FILE --text COLUMN --label COLUMN")
