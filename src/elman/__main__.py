"""`python -m elman`: the command `elman`."""

import os
import sys

from .cli import main

TRAININGS = ("train", "demo")


def restart() -> None:
    """Start again where threads are to sleep while they wait, as those of the command `elman` do.

    `elman_cli` says why. OpenMP reads the variable when PyTorch is loaded, and by now it is.
    """
    asked = sys.argv[1:2] and sys.argv[1] in TRAININGS
    if asked and os.name == "posix" and "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


if __name__ == "__main__":
    restart()
    main()
