"""The examples of the guide to ONNX run."""

import re
import warnings
from pathlib import Path

import pytest
import torch

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

PAGE = Path(__file__).parents[2] / "docs" / "exchange.md"


def test_the_examples_of_the_guide_run(tmp_path, monkeypatch):
    text = PAGE.read_text(encoding="utf-8")
    (section,) = re.findall(r"^## ONNX\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    blocks = re.findall(r"^```python\n(.*?)^```", section, re.M | re.S)
    assert len(blocks) == 2
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's, of its own code
        exec("".join(blocks), {})
