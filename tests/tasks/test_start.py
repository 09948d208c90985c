"""How the command line starts: quickly, and with a word on what was perhaps meant."""

import os
import re
import subprocess
import sys

import pytest

import elman
import elman.tasks
from elman.tasks import commands
from tests.systems import PATIENCE
from tests.tasks.started import command, each_loaded, loaded

#: Commands that need no PyTorch, and what they print.
SHOWN = {
    ("--version",): f"elman {elman.__version__}",
    ("--help",): "predict",
    ("-h",): "predict",
    ("predict", "-h"): "--skip-bad",
    ("train", "--help"): "classify",
    ("predict", "--fil"): "",
}


def test_what_needs_no_pytorch_does_not_load_it():
    for (out, modules), shown in zip(each_loaded(*SHOWN), SHOWN.values(), strict=True):
        assert shown in out
        assert not modules & {"torch", "numpy", "llvmlite", "sklearn"}


def test_completion_needs_no_pytorch_either():
    out, modules = loaded(
        _ELMAN_COMPLETE="complete_bash", COMP_WORDS="elman predict --sk", COMP_CWORD="2"
    )
    assert out.split() == ["--skip-bad"]
    assert "torch" not in modules


def test_the_package_is_a_module_too():
    done = subprocess.run(
        [sys.executable, "-m", "elman", "--version"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout == f"elman {elman.__version__}\n"


@pytest.mark.skipif(sys.platform != "linux", reason="torch's OpenMP is another there")
@pytest.mark.parametrize(
    ("arguments", "given", "sleep"),
    [
        (("train", "lm", "--help"), {}, [False, True]),  # the second is that of a restart
        (("demo", "--help"), {}, [False, True]),
        (("train", "--help"), {"OMP_WAIT_POLICY": "active"}, [False]),
        (("bench", "--help"), {}, [False]),
    ],
)
def test_threads_of_a_training_sleep_in_a_module_too(arguments, given, sleep):
    """OpenMP says how long its threads spin, each time that it is loaded."""
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-m", "elman", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**environment, "OMP_DISPLAY_ENV": "verbose", **given},
    )
    assert done.returncode == 0
    spins = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    assert [count == "0" for count in spins] == sleep


def test_the_tasks_name_all_their_estimators():
    assert set(elman.tasks.__all__) <= set(dir(elman.tasks))
    with pytest.raises(AttributeError, match="has no attribute 'Sequence'"):
        elman.tasks.Sequence  # noqa: B018


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["predic"], "Did you mean 'predict'?"),
        (["train", "classfy"], "Did you mean 'classify'?"),
        (["predict", "--fil"], "--file"),
        (["train", "classify", "a.csv", "--hiden-size", 3], "--hidden-size"),
        (["bench", "--only", "tutorials"], "Did you mean 'tutorial'?"),
    ],
)
def test_what_was_perhaps_meant(run, arguments, meant):
    status, _, err = run(*arguments)
    assert status in (1, 2)
    assert meant in " ".join(err.replace("│", "").split())


@pytest.mark.parametrize(
    ("option", "value", "meant"), [("--cell", "lstmm", "lstm"), ("--pooling", "maxx", "max")]
)
def test_the_value_that_was_perhaps_meant(run, table, option, value, meant):
    train = ("train", "classify", table, "--text", "text", "--label", "label", option, value)
    status, _, err = run(*train)
    assert (status, err.count("\n")) == (1, 1)
    assert err.endswith(f"Got {value!r}. Did you mean {meant!r}?\n")


def test_every_command_has_a_word_on_itself():
    assert all(one.callback.__doc__ for one in commands.app.registered_commands)


def test_threads_of_a_training_sleep_and_those_of_a_comparison_do_as_usual():
    """Spinning threads of two programs on the same cores wait for one another."""
    show = "import os\ntry: elman_cli.main()\nfinally: print(os.environ.get('OMP_WAIT_POLICY'))"
    for name, policy in (("train", "passive"), ("bench", "None")):
        done = command(name, "--help", program=show)
        assert done.stdout.splitlines()[-1] == policy
    done = command("train", "--help", program=show, OMP_WAIT_POLICY="active")
    assert done.stdout.splitlines()[-1] == "active"
