"""What steps prefetch: it changes no result, so it is read from the IR."""

from pathlib import Path
from typing import Any

import pytest
import torch

import elman
from elman.artefact import code

LINE = 64
WIDE, NARROW = "x86-64-v4", "x86-64-v3"


def ir_of(
    module: torch.nn.Module, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> str:
    """The IR of an artefact."""
    found, make = [], code.object_code

    def object_code(module: Any, *args: Any, **kwargs: Any) -> bytes:
        found.append(str(module))
        return make(module, *args, **kwargs)

    monkeypatch.setattr(code, "object_code", object_code)
    elman.export(module, folder, name="own", **options)
    return found[0]


@pytest.mark.parametrize(
    ("target", "inputs", "weight_dtype", "ahead", "meanwhile"),
    [
        (WIDE, 40, None, False, True),
        (WIDE, 640, None, True, True),  # more than 1 MiB
        (WIDE, 40, torch.bfloat16, True, False),
        (WIDE, 3, torch.int8, True, False),
        (NARROW, 40, None, True, False),
        ("cortex-m7", 40, None, False, False),
    ],
)
def test_which_steps_prefetch(
    target: str,
    inputs: int,
    weight_dtype: torch.dtype | None,
    ahead: bool,
    meanwhile: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = {"target": target, "weight_dtype": weight_dtype}
    text = ir_of(elman.GRU(inputs, 128), tmp_path, monkeypatch, **options)
    lines = text.count("call void @llvm.prefetch")
    least = (24 << 10) // LINE // 4  # for one of the four pairs of vectors, in step and piece
    assert (lines >= 2 * least) == meanwhile
    assert (lines % least > 0) == ahead


def test_few_weights_are_not_prefetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "llvm.prefetch" not in ir_of(elman.GRU(8, 32), tmp_path, monkeypatch, target=WIDE)


def test_the_last_layer_prefetches_what_the_next_step_reads_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, emit = [], code.emit_layer

    def emit_layer(f: Any, part: Any, *rest: Any) -> None:
        found.append((part, *rest[-2:]))
        emit(f, part, *rest)

    monkeypatch.setattr(code, "emit_layer", emit_layer)
    ir_of(elman.GRU(128, 128, 2), tmp_path, monkeypatch, target=WIDE)
    (first, _, after_first), (second, _, after_second) = found[:2]
    assert (after_first, after_second) == (second, first)
    # The first layer begins with its inputs' weights, which lie behind those of its states. A layer
    # above begins with the latter.
    assert first.first > first.weights == first.recurrent
    assert second.first == second.weights == second.recurrent > first.weights
