"""The command `elman`. What it does is in `elman.tasks`, which needs the extra of that name."""

import sys

from .pages import page
from .version import __version__

USAGE = f"""\
Usage: elman [--help | --version] COMMAND ...

  train classify FILE --text COLUMN --label COLUMN   learn the labels of texts
  train tag FILE                                     learn the spans in texts
  train lm FILE                                      learn what comes next in texts
  train series FILE                                  learn the labels of series of numbers
  train forecast FILE                                learn what comes next in series of numbers
  evaluate MODEL FILE                                score a model on other data
  predict MODEL TEXT...                              say what a model finds in texts
  generate MODEL --prompt TEXT                       go on with a text
  score MODEL TEXT                                   show how surprising a text is
  inspect MODEL --text TEXT                          show a model, and its states
  export MODEL FOLDER                                write a model for programs in C
  demo                                               small models, trained and tried out
  bench                                              how much faster than torch.nn here

Documentation: {page("guides/tour")}, {page("index")}
"""


def main() -> None:
    """Run the command line; what a user got wrong is told in a line, without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding shows what it can't print as \\uXXXX.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        from .tasks import commands, errors
    except ImportError as error:
        sys.exit(_without_tasks(sys.argv[1:], str(error)))
    try:
        commands.app(prog_name="elman")
    except errors.TaskError as error:
        print(f"elman: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:  # of what no command looks for: a full disk, a name that is too long
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"elman: {where}{error.strerror or error}.", file=sys.stderr)
        sys.exit(1)


def _without_tasks(arguments: list[str], reason: str) -> int:
    """What can be done without the extra."""
    if arguments == ["--version"]:
        print(f"elman {__version__}")
        return 0
    if arguments in (["--help"], ["-h"]):
        print(f"{USAGE}\n{reason}")
        return 0
    print(reason, file=sys.stderr)
    return 1


if __name__ == "__main__":
    main()
