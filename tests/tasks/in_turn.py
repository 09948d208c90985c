"""The command line several times in each process: `torchrun -m tests.tasks.in_turn FILE`.

The file has a list, as JSON: of each run the folder that it is in, and its arguments.
"""

import contextlib
import functools
import json
import os
import runpy
import sys
from pathlib import Path

from matplotlib.figure import Figure
from torch import distributed

# Not there where tests are collected, which imports this file.
RANK, WORLD = (int(os.environ.get(name, "0")) for name in ("RANK", "WORLD_SIZE"))


def run(folder, arguments):
    """What the process says goes to a file; an error ends it, and with it all runs."""
    os.chdir(folder)
    sys.argv = ["elman", *arguments]
    with open(f"said by {RANK}", "w", encoding="utf-8") as said:
        with contextlib.redirect_stdout(said):
            try:
                runpy.run_module("elman.cli", run_name="__main__")
            except SystemExit as end:
                if end.code:
                    raise


def main(file):
    # Other tests look at pictures; here it counts which there are.
    Figure.savefig = lambda _, path: path.touch()
    first, *others = json.loads(Path(file).read_bytes())
    run(*first)
    # Processes meet at a store, which keeps what the first run wrote: others have their own keys.
    store = distributed.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), WORLD)
    meet = distributed.init_process_group
    for folder, arguments in others:
        keys = distributed.PrefixStore(folder, store)
        distributed.init_process_group = functools.partial(
            meet, store=keys, rank=RANK, world_size=WORLD
        )
        run(folder, arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
