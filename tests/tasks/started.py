"""The command line in processes of its own."""

import json
import os
import subprocess
import sys

from tests.systems import PATIENCE

COMMAND = "import sys; sys.argv[0] = 'elman'; import elman_cli\n"
REPORT = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
"""


def command(*arguments, program="elman_cli.main()", **environment):
    """A process of its own: its status, output and errors."""
    return subprocess.run(
        [sys.executable, "-c", COMMAND + program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
    )


def loaded(*arguments, **environment):
    """What a command prints, and the packages and modules that it has loaded in the end."""
    done = command(*arguments, program=REPORT + "elman_cli.main()", **environment)
    return done.stdout, set(json.loads(done.stderr.splitlines()[-1]))
