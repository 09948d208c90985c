"""The programs of docs/serving.md answer as their models do."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

import elman
from tests.tasks.rows import make_rows

pytest.importorskip("fastapi")
pytest.importorskip("httpx2")
from fastapi.testclient import TestClient

PAGE = Path(__file__).parents[1] / "docs" / "serving.md"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the test client


def program(number: int) -> dict[str, Any]:
    """What a program of the page defines, once it has run."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    names: dict[str, Any] = {"__name__": "serve"}
    exec(compile(blocks[number], PAGE.name, "exec"), names)
    return names


def test_a_folder_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from elman.tasks import SequenceClassifier

    texts, labels = make_rows(120)
    model = SequenceClassifier(epochs=2, hidden_size=8, embedding_size=8, verbose=0)
    model.fit(texts, labels).save(tmp_path / "model")
    monkeypatch.setenv("MODEL", str(tmp_path / "model"))
    client = TestClient(program(0)["app"])

    def ask(some: list[str]) -> Any:
        return client.post("/predict", json=some).json()

    many = [texts[i : i + 5] for i in range(0, 100, 5)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, many))
    for some, rows in zip(many, found, strict=True):
        chances = torch.tensor([[row[str(label)] for label in model.classes_] for row in rows])
        expected = torch.from_numpy(model.predict_proba(some)).float()
        torch.testing.assert_close(chances, expected)


def test_streams_share_a_batch_and_know_nothing_of_each_other() -> None:
    names = program(1)
    xs = torch.randn(3, 6, 8)  # of three clients
    alone = [elman.Stream(names["layer"]).chunk(x) for x in xs]
    with TestClient(names["app"]) as client, client.websocket_connect("/stream") as one:
        with client.websocket_connect("/stream") as two:
            found: list[list[Any]] = [[], [], []]
            for t in range(6):
                for n, socket in enumerate((one, two)):
                    if n == 0 or t % 2:  # the second is slower
                        socket.send_json(xs[n, len(found[n])].tolist())
                        found[n].append(socket.receive_json())
        with client.websocket_connect("/stream") as three:  # a row that another has left
            for x in xs[2]:
                three.send_json(x.tolist())
                found[2].append(three.receive_json())
    for rows, want in zip(found, alone, strict=True):
        assert torch.equal(torch.tensor(rows), want[: len(rows)])
    assert len(names["free"]) == names["ROWS"]
