"""Programs in C and C++ that use an artefact, with all warnings and checks of the compilers."""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

import elman
from tests.artefact.linked import needs_compiler
from tests.cells import Headed

pytestmark = needs_compiler
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
GUARDED = Path(__file__).with_name("guarded.c")
VALGRIND = pytest.mark.skipif(
    shutil.which("valgrind") is None or platform.machine() != "x86_64",
    reason="needs valgrind, and x86-64, for whose AVX2 the artefact is made",
)

MODULES = {
    "gru": lambda: elman.GRU(10, 33, 2),
    "lstm": lambda: elman.LSTM(3, 5, proj_size=3),
    "heads": lambda: elman.Recurrent(Headed, 7, 10),
    "sizes": lambda: elman.Recurrent(elman.cells.LayerNormGRU, 5, [9, 2, 17]),
}

#: Modules that read whole sequences.
WHOLE = {
    "tokens": lambda: torch.nn.Sequential(
        torch.nn.Embedding(13, 5), elman.LSTM(5, 9, bidirectional=True), torch.nn.Linear(18, 3)
    ),
}


def _run(*command: object) -> None:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("compiler", "which"), [*(("gcc", which) for which in MODULES), ("clang", "gru")]
)
def test_nothing_beyond_the_arrays_is_touched(compiler: str, which: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    elman.export(MODULES[which](), tmp_path, name="own")
    program = tmp_path / "guarded"
    checks = "-fsanitize=address,undefined", "-fno-sanitize-recover=all"
    sources = GUARDED, tmp_path / "own.o", "-I", tmp_path
    if compiler == "clang":  # its sanitizers are a package of their own
        checks = ()
    _run(compiler, "-std=c99", *STRICT, *checks, *sources, "-o", program)
    _run(program)


def _on_the_heap(path: Path) -> None:
    """Lets a test have its state in memory of which valgrind knows that nobody has written it."""
    text = path.read_text()
    memory = "#include <stdlib.h>\n#define state (*memory)\nstatic own_state *memory;\n"
    text = text.replace("static own_state state;", memory)
    path.write_text(text.replace("(void) {", "(void) {\n    memory = malloc(sizeof *memory);"))


def _checked(folder: Path) -> int:
    """What valgrind says of a test."""
    program = folder / "own_test"
    _run("cc", "-g", "-O0", folder / "own_test.c", folder / "own.o", "-o", program)
    command = ["valgrind", "--error-exitcode=9", "--leak-check=full", "-q", program]
    return subprocess.run(command, capture_output=True).returncode


@VALGRIND
@pytest.mark.parametrize("which", ["sizes", "tokens"])
def test_valgrind_finds_nothing(which: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    most = 8 if which in WHOLE else None
    module = {**MODULES, **WHOLE}[which]()
    elman.export(module, tmp_path, "x86-64-v3", "own", max_steps=most)
    _on_the_heap(tmp_path / "own_test.c")
    assert _checked(tmp_path) == 0


@VALGRIND
def test_valgrind_would_find_a_state_that_nobody_begins(tmp_path: Path) -> None:
    elman.export(elman.GRU(2, 3), tmp_path, "x86-64-v3", "own")
    _on_the_heap(path := tmp_path / "own_test.c")
    path.write_text(path.read_text().replace("own_init(&state);", ""))
    assert _checked(tmp_path) == 9


@pytest.mark.parametrize(
    ("compiler", "standard"), [("gcc", "c99"), ("gcc", "c17"), ("g++", "c++98"), ("g++", "c++20")]
)
def test_the_header_is_plain(compiler: str, standard: str, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    elman.export(elman.GRU(2, 3), tmp_path, name="own")
    source = tmp_path / ("use.cpp" if "+" in compiler else "use.c")
    source.write_text(
        '#include "own.h"\n#include "own.h"\n'
        "int main(void) {\n    own_state state;\n    float x[OWN_INPUTS] = {0}, y[OWN_OUTPUTS];\n"
        "    own_init(&state);\n    own_step(&state, x, y);\n"
        "    return sizeof state != OWN_STATE_BYTES || y[0] != y[0];\n}\n"
    )
    program = tmp_path / "use"
    _run(compiler, f"-std={standard}", *STRICT, source, tmp_path / "own.o", "-o", program)
    _run(program)


def test_two_artefacts_live_in_one_program(tmp_path: Path) -> None:
    torch.manual_seed(0)
    for name, module in (("low", elman.GRU(2, 3)), ("high", elman.LSTM(2, 3))):
        elman.export(module, tmp_path, name=name)
    (tmp_path / "both.c").write_text(
        '#include "low.h"\n#include "high.h"\n'
        "int main(void) {\n    low_state a;\n    high_state b;\n"
        "    float x[2] = {1, 2}, y[3], z[3];\n    low_init(&a);\n    high_init(&b);\n"
        "    low_step(&a, x, y);\n    high_step(&b, x, z);\n    return y[0] == z[0];\n}\n"
    )
    objects = tmp_path / "low.o", tmp_path / "high.o"
    _run("cc", tmp_path / "both.c", *objects, "-o", tmp_path / "both")
    _run(tmp_path / "both")
    _run("make", "-C", tmp_path, "test")
