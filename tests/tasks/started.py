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
IN_TURN = """
import contextlib, io, json
for sys.argv[1:] in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        elman_cli.main()
    print(json.dumps([said.getvalue(), sorted(sys.modules)]))
"""


def command(*arguments, program="elman_cli.main()", **environment):
    """A process of its own, without what these tests say of OpenMP: status, output, errors."""
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    return subprocess.run(
        [sys.executable, "-c", COMMAND + program, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**inherited, "PYTHONIOENCODING": "utf-8", **environment},
    )


def loaded(*arguments, **environment):
    """What a command prints, and the packages and modules that it has loaded in the end."""
    done = command(*arguments, program=REPORT + "elman_cli.main()", **environment)
    return done.stdout, set(json.loads(done.stderr.splitlines()[-1]))


def each_loaded(*runs):
    """The same of several commands, one after another in one process: what it has loaded grows."""
    done = command(json.dumps([[str(word) for word in one] for one in runs]), program=IN_TURN)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(runs), done.stderr
    return [(out, set(modules)) for out, modules in found]
