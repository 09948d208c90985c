"""What an export writes, says and refuses."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.utils.parametrizations import orthogonal

import elman
from elman.artefact import code


def test_an_export_says_what_it_is(tmp_path: Path) -> None:
    facts = elman.export(elman.GRU(3, 5, 2), tmp_path / "a" / "b", "cortex-m4f", "word")
    folder = tmp_path / "a" / "b"
    names = ["Makefile", "word.h", "word.json", "word.o", "word_test.c", "word_vector.h"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert json.loads((folder / "word.json").read_text()) == facts
    assert {*facts["sha256"]} == {*names} - {"word.json"}
    for name, digest in facts["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert (facts["inputs"], facts["outputs"], facts["layers"]) == (3, 5, 2)
    assert f"STATE_BYTES {facts['state_bytes']} " in (folder / "word.h").read_text()


def test_the_same_module_gives_the_same_files(tmp_path: Path) -> None:
    module = elman.LSTM(3, 5)
    first, second = (elman.export(module, tmp_path / name) for name in "ab")
    assert first == second
    with torch.no_grad():
        module.weight_hh_l0[0, 0] += 1
    third = elman.export(module, tmp_path / "b")  # in place of the other
    assert third["sha256"]["cell.o"] != first["sha256"]["cell.o"]
    assert third["sha256"]["cell.h"] == first["sha256"]["cell.h"]


def test_a_small_layer_is_small_on_a_microcontroller(tmp_path: Path) -> None:
    facts = elman.export(elman.GRU(10, 32), tmp_path, "cortex-m4f")
    assert facts["code_bytes"] < 4_000
    assert facts["code_bytes"] + facts["constant_bytes"] < 24_000
    assert facts["state_bytes"] < 1_000


def test_weights_take_a_half_or_a_quarter(tmp_path: Path) -> None:
    module = elman.GRU(64, 64)
    whole = elman.export(module, tmp_path, "cortex-m4f")
    for dtype, part in ((torch.bfloat16, 0.55), (torch.int8, 0.3)):
        smaller = elman.export(module, tmp_path, "cortex-m4f", weight_dtype=dtype)
        assert smaller["constant_bytes"] < part * whole["constant_bytes"]


def test_a_parametrized_weight_is_what_it_stands_for(tmp_path: Path) -> None:
    module = elman.RNN(3, 5)
    orthogonal(module, "weight_hh_l0")
    plain = elman.RNN(3, 5)
    weights = {n: getattr(module, n) for n, _ in plain.named_parameters()}
    plain.load_state_dict(weights)
    first, second = (elman.export(m, tmp_path) for m in (module, plain))
    assert first["sha256"]["cell.o"] == second["sha256"]["cell.o"]


def _broken() -> Any:
    module = elman.GRU(3, 5)
    with torch.no_grad():
        module.weight_ih_l0[0, 0] = torch.nan
    return module


REFUSED = {
    "none of elman's": (lambda: torch.nn.GRU(3, 5), {}, TypeError, "elman.accelerate turns"),
    "no module": (lambda: 3, {}, TypeError, "layer or cell of elman, or .*, got int"),
    "half": (lambda: elman.GRU(3, 5).half(), {}, ValueError, r"module.float\(\) converts it"),
    "doubles": (
        lambda: elman.GRU(3, 5).double(),
        {"target": "cortex-m4f"},
        ValueError,
        r"torch.float32 for 'cortex-m4f'.*module.float\(\)",
    ),
    "target": (
        lambda: elman.GRU(3, 5),
        {"target": "cortex-m4"},
        ValueError,
        "did you mean 'cortex-m4f'",
    ),
    "no target": (lambda: elman.GRU(3, 5), {"target": None}, ValueError, "got None"),
    "name": (lambda: elman.GRU(3, 5), {"name": "a-b"}, ValueError, "identifier of C"),
    "path": (lambda: elman.GRU(3, 5), {"name": "../x"}, ValueError, "identifier of C"),
    "empty": (lambda: elman.GRU(3, 5), {"name": ""}, ValueError, "identifier of C"),
    "line": (lambda: elman.GRU(3, 5), {"name": "a\n"}, ValueError, "identifier of C"),
    "no name": (lambda: elman.GRU(3, 5), {"name": None}, ValueError, "identifier of C"),
    "weights": (
        lambda: elman.GRU(3, 5),
        {"weight_dtype": torch.float16},
        ValueError,
        "torch.bfloat16, torch.int8 or None, got torch.float16",
    ),
    "narrow doubles": (
        lambda: elman.GRU(3, 5).double(),
        {"weight_dtype": torch.bfloat16},
        ValueError,
        "modules of torch.float32",
    ),
    "no numbers": (_broken, {}, ValueError, "expected finite outputs"),
}


@pytest.mark.parametrize("which", REFUSED)
def test_what_is_refused_writes_nothing(which: str, tmp_path: Path) -> None:
    make, options, kind, match = REFUSED[which]
    with pytest.raises(kind, match=match):
        elman.export(make(), tmp_path / "folder", **options)
    assert [*tmp_path.iterdir()] == []


def test_what_the_target_cannot_address_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "MOST", 1000)
    with pytest.raises(ValueError, match=r"more than .* can address"):
        elman.export(elman.GRU(3, 15), tmp_path / "folder")
    assert [*tmp_path.iterdir()] == []


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    elman.export(elman.GRU(3, 5), tmp_path / "folder")
    before = {path.name: path.read_bytes() for path in (tmp_path / "folder").iterdir()}
    with pytest.raises(ValueError, match="finite"):
        elman.export(_broken(), tmp_path / "folder")
    assert {p.name: p.read_bytes() for p in (tmp_path / "folder").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("mine")
    with pytest.raises(FileExistsError):
        elman.export(elman.GRU(3, 5), tmp_path / "folder")
    assert (tmp_path / "folder").read_text() == "mine"


def test_export_is_an_attribute_like_others() -> None:
    assert "export" in dir(elman)
    with pytest.raises(AttributeError, match="has no attribute 'exports'"):
        elman.exports  # noqa: B018
