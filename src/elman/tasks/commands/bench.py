"""`elman bench`: how much faster than torch.nn on the machine at hand."""

from typing import Annotated, Any

import typer

BUSY = 0.15  # the share of all cores that others may use


def bench(
    only: Annotated[
        list[str] | None, typer.Option(help="A workload, by its name; may be repeated.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="By default as many as torch uses.")
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="How often both take turns; six and more give intervals.")
    ] = 6,
) -> None:
    """Time elman's layers beside torch.nn's: sizes that real users run, in about a minute.

    Each of the two has its own process and sleeps while the other works. Nothing is timed before
    the results of both agree with torch.nn's in float64.
    """
    import torch
    from rich.live import Live
    from rich.table import Table

    from elman.bench.contest import Contest
    from elman.bench.figures import Ratio, duration, geometric_mean, ratio
    from elman.bench.machine import busy_share, machine
    from elman.bench.workloads import WORKLOADS

    from ..errors import TaskError, meant
    from .start import console

    for name in only or []:
        if name not in WORKLOADS:
            hint = meant(name, WORKLOADS)
            raise TaskError(f"No workload {name!r}; there are {', '.join(WORKLOADS)}.{hint}")
    contestants = {
        "torch.nn": "elman.bench.contestants:TORCH",
        "elman": "elman.bench.contestants:ELMAN",
    }
    count = threads or torch.get_num_threads()
    terminal, found = console(), machine()
    terminal.print(
        f"{found['processor']}, {found['isa'] or 'no kernels'}, threads {count}; "
        f"elman {found['elman']}, torch {found['torch']}"
    )
    busy = _warned(busy_share(), terminal)
    table = Table("workload", "layer", "T, B, I, H", "mode", "torch.nn", "elman", "times as fast")
    for column in table.columns[4:]:
        column.justify = "right"
    ratios: dict[str, list[Ratio]] = {}
    with Contest(contestants, "torch.nn") as contest, Live(table, console=terminal):
        for name in only or WORKLOADS:
            for mode in WORKLOADS[name].modes:
                task = WORKLOADS[name].task(mode, count)
                both = contest.compare(task, rounds)
                theirs, ours = (both[who] for who in contestants)
                shown = [one.failure or duration(one.median) for one in (theirs, ours)]
                if theirs.us and ours.us:
                    ratios.setdefault(mode, []).append(ratio(theirs.us, ours.us))
                    shown.append(str(ratios[mode][-1]))
                table.add_row(name, task.layer, task.sizes, mode, *shown)
    terminal.print()
    if not busy:
        _warned(busy_share(), terminal)
    for mode, of in ratios.items():
        mean = geometric_mean(one.median for one in of)
        terminal.print(f"{mode}: {mean:.2f} times as fast, the geometric mean of {len(of)}")


def _warned(share: float, terminal: Any) -> bool:
    """Whether other programs use so much of the machine that a warning was due."""
    if share < BUSY:
        return False
    terminal.print(
        f"Other programs keep {share:.0%} of this machine busy: the ratios below say little. "
        "Measure again when it is quiet."
    )
    return True
