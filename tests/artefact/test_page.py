"""Every listing of docs/export.md runs, and prints what is printed there."""

import doctest
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.artefact.linked import needs_compiler
from tests.tasks.plain_rows import make_text

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the Python of the page has run, with the program that the page shows."""
    folder = tmp_path_factory.mktemp("page")
    test = doctest.DocTestParser().get_doctest(
        "".join(_blocks("pycon")), names := {}, "export.md", "export.md", 0
    )
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        runner.run(test, out=said.append, clear_globs=False)
    assert not runner.failures, "".join(said)
    names.update(test.globs)
    (folder / "expected").write_text("\n".join(names["expected"]))
    (folder / "play.c").write_text(_blocks("c")[0])
    shutil.copy(PAGE.parents[1] / "examples" / "generate.c", folder)
    (folder / "book.txt").write_text(make_text(100))
    return folder


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)


@needs_compiler
@pytest.mark.parametrize("number", [0, 1])
def test_the_commands_print_what_is_printed(folder: Path, number: int) -> None:
    results = []
    for part in re.split(r"^\$ ", _blocks("console")[number], flags=re.M)[1:]:
        command, _, expected = part.partition("\n")
        command = re.sub("^elman ", f"{sys.executable} -m elman ", command)
        done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert doctest.OutputChecker().check_output(expected, done.stdout, FLAGS), done.stdout
        results.append(done.stdout)
    if number == 0:
        assert results[-1].strip() == (folder / "expected").read_text()


@needs_compiler
def test_the_functions_are_those_of_the_header(folder: Path) -> None:
    declared = "".join(_blocks("c")[1]).splitlines()
    header = (folder / "build" / "amp.h").read_text()
    for line in declared:
        assert line.partition("/*")[0].strip() in header, line


def test_the_lines_for_other_linkers_work(folder: Path) -> None:
    arm, wasm = "".join(_blocks("sh")).splitlines()
    if shutil.which(arm.split()[0]) is None:
        pytest.skip(f"needs {arm.split()[0]}")
    (folder / "use.c").write_text(
        '#include "m4/amp.h"\nstatic amp_state s;\nstatic float x[1], y[1];\n'
        "void _start(void) { amp_init(&s); amp_step(&s, x, y); for (;;) {} }\n"
    )
    commands = [arm.replace("...", "-ffreestanding -nostdlib use.c -o use.elf")]
    linker = next(filter(None, map(shutil.which, ("wasm-ld", "wasm-ld-14"))), None)
    commands += [wasm.replace("wasm-ld", linker)] if linker else []
    for command in commands:
        done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@needs_compiler
def test_cmake_builds_the_program(folder: Path) -> None:
    if shutil.which("cmake") is None:
        pytest.skip("needs cmake")
    (snippet,) = _blocks("cmake")
    begin = "cmake_minimum_required(VERSION 3.15)\nproject(page C)\nadd_executable(play play.c)\n"
    (folder / "CMakeLists.txt").write_text(begin + snippet)
    for command in ("cmake -S . -B made", "cmake --build made"):
        done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (folder / "made" / "play").exists()
