"""The web pages of docs/export.md and of the examples, in Chromium, and the page's JavaScript."""

import doctest
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import elman
from elman.artefact.stack import stack_of
from examples import letters
from tests.artefact.browsing import (
    needs_chromium,
    needs_linker,
    needs_node,
    node,
    page,
    posted,
    served,
)

pytestmark = needs_linker
SECTION = (Path(__file__).parents[2] / "docs" / "export.md").read_text("utf-8")
SECTION = SECTION.partition("## In a web page\n")[2]


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", SECTION, re.M | re.S)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the section's Python leaves, and the folder ``site`` with its files and listings."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("page")
    names = {"elman": elman, "amp": elman.LSTM(1, 16, proj_size=1), "folder": folder / "site"}
    test = doctest.DocTestParser().get_doctest("".join(_blocks("pycon")), names, "web", "web", 0)
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        runner = doctest.DocTestRunner()
        runner.run(test, out=said.append, clear_globs=False)
        assert not runner.failures, "".join(said)
        (export,) = re.findall(r"`(elman\.export\(amp, [^`]*\))`", SECTION)
        eval(export, test.globs)
    (listing,) = _blocks("html")
    (folder / "site" / "index.html").write_text(listing)
    use, worklet, _ = _blocks("js")
    (folder / "site" / "amp-worklet.js").write_text(worklet)
    (folder / "site" / "use.mjs").write_text(use)
    return test.globs


def _expected(module: Any, x: list[float]) -> torch.Tensor:
    return stack_of(module, None).run(torch.tensor(x).reshape(len(x), -1), [])


@needs_chromium
def test_the_page_shows_the_hidden_state(names: dict[str, Any], tmp_path: Path) -> None:
    with served(names["folder"]) as url:
        found = re.findall(r'<meter.*?value="([^"]+)"', page(url, tmp_path))
    bars = torch.tensor([float(value) for value in found], dtype=torch.float64)
    torch.testing.assert_close(bars, _expected(names["gru"], [0.5])[0], rtol=0, atol=1e-6)


@needs_node
def test_the_functions_do_what_is_said(names: dict[str, Any]) -> None:
    path = names["folder"] / "use.mjs"
    text = 'import { readFile } from "node:fs/promises";\n' + path.read_text("utf-8")
    bytes_of = f"await readFile({json.dumps(str(names['folder'] / 'gru.wasm'))})"
    text = text.replace("load()", f"load({bytes_of})")
    path.write_text(text + "console.log(JSON.stringify([[...y], [...ys]]));\n")
    y, ys = (torch.tensor(row, dtype=torch.float64).reshape(-1, 12) for row in node(str(path)))
    expected = _expected(names["gru"], [0.5, 0.5, 0.25, 0.125, 0.5])
    torch.testing.assert_close(torch.cat([ys, y]), expected[1:], rtol=0, atol=1e-6)


SOUND = """\
<!doctype html><script type="module">
{listing}
const buffer = context.createBuffer(1, 512, 48000);
buffer.getChannelData(0).forEach((_, i, all) => (all[i] = Math.sin(i / 10) / 2));
const source = new AudioBufferSourceNode(context, {{ buffer }});
source.connect(node).connect(context.destination);
source.start();
const [x, y] = [buffer, await context.startRendering()].map((b) => [...b.getChannelData(0)]);
await fetch("posted", {{ method: "POST", body: JSON.stringify([x, y]) }});
</script>
"""


@needs_chromium
def test_an_audio_worklet_gives_what_the_layer_gives(names: dict[str, Any], tmp_path: Path) -> None:
    listing = _blocks("js")[2].replace(
        "new AudioContext()", "new OfflineAudioContext(1, 512, 48000)"
    )
    (names["folder"] / "sound.html").write_text(SOUND.format(listing=listing))
    x, y = posted(names["folder"], "sound.html", tmp_path)
    sound = torch.tensor(y, dtype=torch.float64)[:, None]
    torch.testing.assert_close(sound, _expected(names["amp"], x), rtol=0, atol=1e-6)


@needs_chromium
def test_the_example_reads_letters(tmp_path: Path) -> None:
    reader = letters.train(100)
    letters.write(reader, tmp_path / "site")
    with served(tmp_path / "site") as url:
        text = page(f"{url}/?text=baxdi", tmp_path / "profile")
    assert "1 left out: only b d g a i u are known." in text
    shown = torch.tensor([float(n) for n in re.findall(r"<output>([^<]+)</output>", text)])
    given = torch.tensor([letters.LETTERS.index(letter) for letter in "badi"])
    with torch.no_grad():
        h = stack_of(reader.rnn, None).run(letters.one_hot(given), [])[-1].float()
        expected = torch.cat([reader.head(h).softmax(0), h])
    assert letters.LETTERS[int(expected[:6].argmax())] == "i"
    torch.testing.assert_close(shown, expected, rtol=0, atol=6e-4)  # three digits are shown
