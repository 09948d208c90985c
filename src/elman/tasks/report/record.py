"""`report.json` in a model's folder: what it was trained on, how it went, and what it scored."""

import json
import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import elman

from ..data import Table
from ..data.findings import count
from ..data.fingerprint import fingerprint
from ..data.readers import is_table
from ..data.tagtable import TagTable
from ..data.values import NUMBER
from ..errors import TaskError, on_disk
from ..models.folder import CONFIG

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
    with on_disk(folder / REPORT, "written"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / REPORT).write_text(f"{text}\n", "utf-8")


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


def facts(folder: Path, training: Mapping[str, Any]) -> dict[str, str]:
    """What a model's folder tells of its training and of its scores, in words."""
    report, found = read_report(folder), {}
    try:
        if data := report.get("data"):
            if "texts" in data:
                texts = count(data["texts"], "text")
            else:
                texts = f"{data['series']:,} series"
            if "characters" in data:
                texts = f"{data['characters']:,} characters in {texts}"
            found["data"] = f"{texts} of {data['file']}, SHA-256 {data['sha256']}"
        if "began_from" in report:
            found["began from"] = str(report["began_from"])
        if "command" in training:
            found["command"] = str(training["command"])
        if losses := [f"{epoch['train_loss']:.3f}" for epoch in training.get("epochs", ())]:
            found["losses"] = f"{', '.join(losses)} in {count(len(losses), 'epoch')}"
        if scores := report.get("evaluation"):
            found["scores"] = _scores(scores)
        made_by = report.get("made_by", {}).items()
        return {**found, "versions": ", ".join(f"{name} {number}" for name, number in made_by)}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TaskError(
            f"{folder}: {REPORT} or 'training' in {CONFIG} is not as elman writes it ({error})."
        ) from None


def _shown(score: float | None) -> str:
    return "unknown" if score is None else f"{score:.3f}"


def _scores(scores: Mapping[str, Any]) -> str:
    """Those of a report, in words."""
    if "perplexity" in scores:
        bits, perplexity = scores["bits_per_character"], scores["perplexity"]
        held_out = f"{scores['characters']:,} held-out characters"
        return f"{bits:.3f} bits a character, perplexity {perplexity:,.2f} on {held_out}"
    if "mase" in scores:
        told = f"{scores['forecasts']:,} forecasts"
        return f"MASE {_shown(scores['mase'])}, CRPS {_shown(scores['crps'])} of {told}"
    noun = "series" if "series" in scores else "texts"
    held_out = f"{scores[noun]:,} held-out {noun}"
    if "r2" in scores:
        return f"R² {_shown(scores['r2'])}, RMSE {scores['rmse']:.4g} on {held_out}"
    if "micro_f1" in scores:
        subset = f"all labels right {scores['subset_accuracy']:.1%}"
        return f"micro F1 {scores['micro_f1']:.1%}, {subset} on {held_out}"
    spans = "spans" in scores
    first = f"F1 {scores['spans']['f1']:.1%}" if spans else f"accuracy {scores['accuracy']:.1%}"
    return f"{first}, macro F1 {scores['macro_f1']:.1%} on {held_out}"


def columns_of(folder: Path, names: Iterable[str], file: Path) -> dict[str, Any]:
    """The columns that a model was trained on, as far as they are known and `file` has columns.

    Those of tables say nothing of other files, and the other way round.
    """
    data = read_report(folder).get("data", {})
    alike = not file.is_dir() and is_table(file) == is_table(Path(str(data.get("file", ""))))
    return {name: data.get(name) if alike else None for name in names}


def describe_tags(table: TagTable) -> dict[str, Any]:
    """What there is to say about a table of tagged texts, and where it came from."""
    labels = Counter(span.label for row in table.spans() for span in row)
    return {
        **table.source,
        **fingerprint(table.texts, table.tags),
        "scheme": table.scheme,
        "labels": dict(sorted(labels.items())),
    }


def describe(table: Table) -> dict[str, Any]:
    """What there is to say about a table, and where it came from."""
    found = {**table.source, **fingerprint(table.texts, table.labels)}
    if table.kind == NUMBER:
        numbers = table.labels.astype(np.float64)
        return found | {"mean": float(numbers.mean()), "deviation": float(numbers.std())}
    counts = Counter(name for label in table.labels for name in table.named(label))
    return found | {"labels": dict(sorted(counts.items()))}
