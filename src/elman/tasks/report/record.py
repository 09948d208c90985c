"""`report.json` in a model's folder: what it was trained on, how it went, and what it scored."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import elman

from ..data import Table
from ..errors import TaskError

REPORT = "report.json"


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write the report, with the versions that made it."""
    packages = ("torch", "llvmlite", "numpy", "skorch", "scikit-learn")
    made_by = {
        "elman": elman.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }
    text = json.dumps({**report, "made_by": made_by}, ensure_ascii=False, indent=1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / REPORT).write_text(f"{text}\n", "utf-8")
    except OSError as error:
        raise TaskError(f"{folder / REPORT}: can't be written ({error.strerror}).") from None


def read_report(folder: Path) -> dict[str, Any]:
    """The report of a model; empty for one that was saved from a program."""
    path = folder / REPORT
    try:
        report = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise TaskError(f"{path}: can't be read ({error.strerror}).") from None
    except (ValueError, RecursionError) as error:
        raise TaskError(f"{path}: is not JSON ({error}); remove it.") from None
    if not isinstance(report, dict) or not isinstance(report.get("data", {}), dict):
        raise TaskError(f"{path}: is no report; remove it.")
    return report


def facts(folder: Path) -> dict[str, str]:
    """What the report of a model tells of its training, in words."""
    report = read_report(folder)
    if not report:
        return {"training": f"unknown: there is no {REPORT}"}
    try:
        data, scores = report["data"], report["evaluation"]
        losses = [f"{epoch['train_loss']:.3f}" for epoch in report["epochs"]]
        return {
            "data": f"{data['texts']:,} texts of {data['file']}, SHA-256 {data['sha256']}",
            "training": f"{len(losses)} epochs, seed {report['seed']}; losses {', '.join(losses)}",
            "scores": f"accuracy {scores['accuracy']:.1%}, macro F1 {scores['macro_f1']:.1%} on "
            f"{scores['texts']:,} held-out texts",
            "made by": ", ".join(f"{name} {number}" for name, number in report["made_by"].items()),
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TaskError(
            f"{folder / REPORT}: is not as elman writes it ({error}); remove it."
        ) from None


def columns_of(folder: Path) -> tuple[str | None, str | None]:
    """The columns of texts and labels that a model was trained on, as far as they are known."""
    data = read_report(folder).get("data", {})
    return data.get("text"), data.get("label")


def describe(table: Table) -> dict[str, Any]:
    """What there is to say about a table, and where it came from."""
    labels, counts = np.unique(table.labels, return_counts=True)
    return {
        **table.source,
        "texts": len(table.texts),
        "labels": dict(zip(labels.tolist(), counts.tolist(), strict=True)),
        "sha256": table.fingerprint,
    }
