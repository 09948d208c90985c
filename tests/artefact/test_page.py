"""Every listing of docs/export.md runs, and prints what is printed there."""

import contextlib
import doctest
import io
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from elman import cli
from tests.artefact.linked import needs_compiler
from tests.artefact.machines import BARE
from tests.tasks.plain_rows import make_text

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)


def _block(language: str, what: str) -> str:
    """The listing in which something is."""
    (found,) = [block for block in _blocks(language) if what in block]
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the Python of the page has run, with the programs that the page shows."""
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
    (folder / "play.c").write_text(_block("c", "scanf"))
    (folder / "play.rs").write_text(_block("rust", "fn main"))
    shutil.copy(PAGE.parents[1] / "examples" / "generate.c", folder)
    (folder / "book.txt").write_text(make_text(50))
    return folder


def _run(folder: Path, block: str) -> list[str]:
    """What the commands of a listing print, which is what it says."""
    results = []
    block = block.replace("\\\n", " ")
    for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
        command, _, expected = part.partition("\n")
        words = shlex.split(command)
        printed = (_python if words[0] in ("elman", "python") else _shell)(folder, command)
        assert doctest.OutputChecker().check_output(expected, printed, FLAGS), printed
        results.append(printed)
    return results


def _python(folder: Path, command: str) -> str:
    """What a command in Python prints, in this process, which has loaded PyTorch."""
    kind, *arguments = shlex.split(command)
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(folder)
        if kind == "python":
            runpy.run_path(arguments[0], run_name="__main__")
        else:
            patch.setattr(sys, "argv", ["elman", *arguments])
            with pytest.raises(SystemExit) as ended:
                sys.exit(cli.main())
            assert not ended.value.code
    return printed.getvalue()


def _shell(folder: Path, command: str) -> str:
    tool = shlex.split(command)[0]
    if not tool.startswith("./") and shutil.which(tool) is None:
        pytest.skip(f"needs {tool}")
    done = subprocess.run(
        command, shell=True, cwd=folder, capture_output=True, text=True, timeout=300
    )
    if "rdimon.specs" in done.stderr:
        pytest.skip("needs newlib for arm-none-eabi-gcc")
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_compiler
@pytest.mark.parametrize("program", ["play.c", "play.rs"])
def test_a_program_prints_what_python_computes(folder: Path, program: str) -> None:
    printed = _run(folder, _block("console", program))
    assert printed[-1].strip() == (folder / "expected").read_text()


@needs_compiler
def test_a_model_goes_from_a_text_to_a_program(folder: Path) -> None:
    _run(folder, _block("console", "train lm"))


def test_ten_minutes_from_fit_to_firmware(tmp_path: Path) -> None:
    (tmp_path / "fit.py").write_text(_block("python", "elman.export"))
    (tmp_path / "main.c").write_text(_block("c", "_start"))
    fitted, _, shaken = _run(tmp_path, _block("console", "fit.py"))
    assert int(fitted.partition("%")[0]) > 90
    assert float(shaken.partition(":")[2]) > 0.9


@needs_compiler
def test_the_functions_are_those_of_the_header(folder: Path) -> None:
    declared = _block("c", "begins a stream").splitlines()
    header = (folder / "build" / "amp.h").read_text()
    for line in declared:
        assert line.partition("/*")[0].strip() in header, line


HARNESS = """\
#include <stdio.h>
#include "callback.c"
int main(void) {
    float x[6] = {0.5f, 0.25f, -0.125f, 0.5f, 0.25f, -0.125f}, y[6];
    const float *in[2] = {x, x + 3};
    float *out[2] = {y, y + 3};
    start();
    process(in, out, 3);
    for (int i = 0; i < 6; i++) printf("%.6f\\n", y[i]);
    return 0;
}
"""


@needs_compiler
def test_an_audio_callback_gives_what_python_gives(folder: Path) -> None:
    (folder / "callback.c").write_text(_block("c", "void process"))
    (folder / "audio.c").write_text(HARNESS)
    build = ["cc", "-std=c99", *STRICT, "-Ibuild", "audio.c", "build/amp.o", "-o", "audio"]
    subprocess.run(build, cwd=folder, check=True)
    done = subprocess.run([folder / "audio"], capture_output=True, text=True, check=True)
    printed = np.array(done.stdout.split(), float)
    expected = np.array((folder / "expected").read_text().split(), float)
    np.testing.assert_allclose(printed, [*expected, *expected], atol=2e-6)


@needs_compiler
def test_libraries_are_made_of_an_object(folder: Path) -> None:
    subprocess.run(["make", "-s", "-C", "build", "libamp.a", "libamp.so"], cwd=folder, check=True)
    for library in ("build/libamp.a", "build/libamp.so"):
        program = folder / "linked"
        build = ["cc", "-Ibuild", "play.c", library, "-Wl,-rpath,.", "-o", program]
        subprocess.run(build, cwd=folder, check=True)
        done = subprocess.run(
            [program], cwd=folder, input="0.5 0.25 -0.125", capture_output=True, text=True
        )
        assert done.stdout.strip() == (folder / "expected").read_text()


def test_a_sketch_is_built_with_the_library(folder: Path) -> None:
    _run(folder, _block("console", "library.properties"))
    text = (folder / "Amp/library.properties").read_text()
    assert "precompiled=true\nldflags=-lamp\n" in text
    (folder / "sketch.cpp").write_text(
        '#include "Arduino.h"\n'
        + _block("cpp", "setup")
        + "int main() { setup(); loop(); return 0; }\n"
    )
    arm, _ = "".join(_blocks("sh")).splitlines()[1:]
    flags = arm.partition("...")[0].split()[1:]
    build = ["arm-none-eabi-g++", *flags, "-ffreestanding", "-nostdlib", "-fno-exceptions"]
    build += [*STRICT, "-IAmp/src", f"-I{BARE}", "sketch.cpp", "-LAmp/src/cortex-m4", "-lamp"]
    build += ["-Wl,--entry=main", "-lgcc", "-o", "sketch.elf"]
    done = subprocess.run(build, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_lines_for_other_linkers_work(folder: Path) -> None:
    _, arm, wasm = "".join(_blocks("sh")).splitlines()
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
