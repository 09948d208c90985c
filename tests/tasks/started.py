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
#: One process imports PyTorch, which takes long, and nothing of elman; its copies run commands.
COPIES = """
import contextlib, gc, io, json, os, torch
gc.freeze()  # which copies need not copy
for arguments in json.loads(sys.argv[1]):
    if not os.fork():
        break
    os.wait()
else:
    sys.exit()
assert "elman" not in sys.modules
sys.argv[1:] = arguments
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
    """The same of several commands that need PyTorch, each in a process of its own."""
    if sys.platform != "linux":  # elsewhere a copy of a process that has PyTorch may crash
        return [loaded(*arguments) for arguments in runs]
    done = command(json.dumps([[str(word) for word in one] for one in runs]), program=COPIES)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(runs), done.stderr
    return [(out, set(modules)) for out, modules in found]
