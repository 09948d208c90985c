"""The slowest of a million steps of an artefact, and their median: ``python -m benchmarks.worst``.

Each step is timed by itself, in a program of C. Doing nothing is timed as often: its worst case is
the machine's, whose scheduler and interrupts come between. Microseconds. With ``--first`` no other
process comes between (``chrt --fifo``, which takes the right to do so); Linux stops such a process
for 50 ms of each second.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

import elman

SOURCE = Path(__file__).with_suffix(".c")
COLUMNS = "median", "99%", "99.99%", "worst", "switches"


def measured(module: object, folder: Path, first: bool) -> list[list[str]]:
    """For nothing and for a step: the name, quantiles, and how often another process came first."""
    elman.export(module, folder, name="own")  # type: ignore[arg-type]
    program = folder / "worst"
    command = ["cc", "-O2", SOURCE, folder / "own.o", "-I", folder, "-o", program]
    subprocess.run(command, check=True)
    run = ["chrt", "--fifo", "50"] * first + [str(program)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    return [line.split(",") for line in done.stdout.splitlines()]


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worst", description=__doc__)
    parser.add_argument("--first", action="store_true")
    options = parser.parse_args()
    print(f"{'':<40}" + "".join(f"{column:>10}" for column in COLUMNS))
    for module in (elman.LSTM(1, 16, proj_size=1), elman.GRU(10, 32), elman.GRU(40, 128)):
        with tempfile.TemporaryDirectory() as folder:
            for what, *numbers in measured(module, Path(folder), options.first):
                shown = f"{module}: {what}" if what != "nothing" else what
                print(f"{shown:<40}" + "".join(f"{number:>10}" for number in numbers))


if __name__ == "__main__":
    main()
