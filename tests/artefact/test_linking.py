"""What an export for web pages writes with a linker and without one, and what types it states."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

import elman
from elman.artefact import linking, web
from tests.artefact.browsing import needs_linker, needs_node, play
from tests.streaming.modules import Gap


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@needs_linker
def test_the_files_of_a_web_page(tmp_path: Path) -> None:
    facts = elman.export(elman.GRU(3, 12), tmp_path, "wasm32", "own")
    assert {"own.wasm", "own.js", "own.d.ts"} <= {*facts["sha256"]}
    assert "missing" not in facts["web"]
    assert (tmp_path / "own.wasm").read_bytes()[:4] == b"\0asm"
    assert (tmp_path / "own.js").stat().st_size < 8_000
    again = elman.export(elman.GRU(3, 12), tmp_path / "host")
    assert "web" not in again


@needs_node
def test_without_a_linker_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(web, "find_linker", lambda: None)
        facts = elman.export(elman.GRU(3, 12), tmp_path, "wasm32", "own")
    assert not (tmp_path / "own.wasm").exists()
    assert facts["web"]["missing"].startswith("own.wasm, since no linker for WebAssembly was found")
    if (found := linking.find_linker()) is None:
        pytest.skip("needs wasm-ld")
    command = [*found, *shlex.split(facts["web"]["link"])[1:]]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert len(play(tmp_path, x=[0.5] * 6)["steps"]) == 24


def test_the_newest_linker_with_a_version_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(linking, "find_spec", lambda _: None)
    assert linking.find_linker() is None
    for name in ("wasm-ld-9", "wasm-ld-14", "wasm-ld-x"):
        _program(tmp_path / name, "exit 0")
    assert linking.find_linker() == [str(tmp_path / "wasm-ld-14")]
    _program(tmp_path / "wasm-ld", "exit 0")
    assert linking.find_linker() == [str(tmp_path / "wasm-ld")]


def test_the_linker_of_a_package_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(linking, "find_spec", lambda name: name)
    assert linking.find_linker()[1:] == ["-m", "ziglang", "wasm-ld"]


def test_a_linker_that_fails_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _program(tmp_path / "wasm-ld", "echo unknown file type >&2; exit 1")
    monkeypatch.setattr(web, "find_linker", lambda: [str(tmp_path / "wasm-ld")])
    with pytest.raises(
        RuntimeError, match="wasm-ld failed: unknown file type; take a newer linker"
    ):
        elman.export(elman.GRU(3, 12), tmp_path / "folder", "wasm32")
    assert not (tmp_path / "folder").exists()


USED = """\
import { load, start, type Stream } from "./own.js";
const layer = await load(await fetch("own.wasm"));
const stream: Stream = layer.stream();
const y: Float32Array = stream.step([1, 2, 3], { gap: [1] });
stream.chunk(y, 4, { gap: y }, y);
stream.chunk(y, undefined, { gap: y });
const n: number = layer.inputs + start(layer.module).furtherInputs["gap"]!;
stream.free();
// @ts-expect-error
stream.step([1, 2, 3], { gab: [1] });
// @ts-expect-error
stream.step([1, 2, 3]);
// @ts-expect-error
stream.step("abc", { gap: [1] }).nothing;
import * as plain from "./plain.js";
const double: Float64Array = (await plain.load()).stream().step([1]);
(await plain.load()).stream().step([1], {}, double);
(await plain.load()).stream().chunk([1]);
// @ts-expect-error
(await plain.load()).stream().step([1], { gap: [1] });
// @ts-expect-error
(await plain.load()).stream().step(1);
import * as word from "./word.js";
const words: word.Stream = (await word.load()).stream();
words.step(1);
words.chunk(new Int32Array([1, 2]));
import * as both from "./both.js";
(await both.load()).stream().chunk([1, 2, 3]);
// @ts-expect-error
(await both.load()).stream().step([1, 2, 3]);
"""


@pytest.mark.skipif(shutil.which("tsc") is None, reason="needs tsc")
def test_types_are_those_of_the_module(tmp_path: Path) -> None:
    elman.export(elman.Recurrent(Gap, 3, 5), tmp_path, "wasm32", "own")
    elman.export(elman.GRU(1, 5).double(), tmp_path, "wasm32", "plain")
    word = torch.nn.Sequential(torch.nn.Embedding(9, 3), elman.GRU(3, 5))
    elman.export(word, tmp_path, "wasm32", "word")
    both = elman.GRU(1, 5, bidirectional=True)
    elman.export(both, tmp_path, "wasm32", "both", max_steps=3)
    (tmp_path / "use.ts").write_text(USED)
    flags = ["--strict", "--noEmit", "--target", "es2022", "--module", "esnext"]
    flags += ["--lib", "es2022,dom", "--moduleResolution", "bundler"]
    done = subprocess.run(["tsc", *flags, tmp_path / "use.ts"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
