"""The figures that run in pages: in Chromium they show the numbers of the float64 reference."""

import itertools
import json
import math
import re
import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from docs import live
from docs.live import networks
from tests.artefact.browsing import needs_chromium, needs_linker, posted
from tests.pages import CHINESE, DOCS, PAGES, text

#: A page with figures; it posts what its first field has, its words and its numbers.
PAGE = """<!doctype html><html lang="{language}"><meta charset="utf-8"><title>Figures</title>
{places}
<script type="module">
const awaited = () => document.querySelector("[data-live]:not([data-ready])");
while (awaited()) await new Promise((done) => setTimeout(done, 20));
const [input] = document.getElementsByTagName("input");
const buttons = document.getElementsByTagName("button");
{act}
const valued = [...document.querySelectorAll("[data-value]")];
const numbers = valued.map((it) => Number(it.dataset.value));
const body = JSON.stringify([input.value, document.body.innerText, numbers]);
await fetch("posted", {{ method: "POST", body }});
</script>
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scripts and modules, as the build lays them out."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "CACHE", folder / "cache")
        patch.setattr(networks, "TRAINING", 20)  # bad networks have numbers as well
        models = live.built()
        assert live.built() == models, "not made again"
    scripts = DOCS / "live"
    shutil.copytree(scripts, folder / "live", ignore=shutil.ignore_patterns("*.py", "__*"))
    shutil.copytree(models, folder / "live" / "models")
    return folder


def opened(
    site: Path, profile: Path, *names: str, act: str = "", language: str = "en"
) -> tuple[str, str, Tensor]:
    """The first field of a page of figures, its words and its numbers, after what ``act`` does."""
    places = "".join(f'<div data-live="{name}"></div>' for name in names)
    places += "".join(live.scripts(places, ""))
    page = PAGE.format(places=places, act=act, language=language)
    (site / "page.html").write_text(page, "utf-8")
    value, words, numbers = posted(site, "page.html", profile)
    return value, words, torch.tensor(numbers, dtype=torch.float64)


def close(numbers: Tensor, *expected: Tensor) -> None:
    """Checks float32 by float64."""
    together = torch.cat([one.double().flatten() for one in expected])
    torch.testing.assert_close(numbers, together, rtol=0, atol=1e-5)


@needs_linker
@needs_chromium
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_figures_begin_with_the_numbers_of_the_reference(
    site: Path, tmp_path: Path, language: str
) -> None:
    files = [site / "live" / "models" / f"{name}.json" for name in networks.FIGURES]
    shown = [json.loads(file.read_text("utf-8"))["shown"] for file in files]
    _, words, numbers = opened(site, tmp_path, *networks.FIGURES, language=language)
    close(numbers, *(torch.tensor(one, dtype=torch.float64) for one in shown))
    assert "undefined" not in words
    assert ("Temperature" in words) == (language == "en")


@needs_linker
@needs_chromium
def test_sentences_are_read_as_they_are_typed(site: Path, tmp_path: Path) -> None:
    act = 'input.value = "爱x你你我"; input.dispatchEvent(new Event("input")); buttons[1].click();'
    value, words, numbers = opened(site, tmp_path, "order", act=act)
    figure = networks.order()
    first, second = (
        live.exactly(figure.networks["rnn"], networks.one_hot("我爱你", sentence))
        for sentence in ("爱你你我爱", "你爱我")
    )
    close(numbers, first.T, second.T, torch.dist(first[-1], second[-1]))
    assert value == "爱x你你我爱"
    assert "Left out: 1." in words


@needs_linker
@needs_chromium
def test_a_chosen_number_has_its_formula(site: Path, tmp_path: Path) -> None:
    act = "input.value = 0.25; input.dispatchEvent(new Event('input')); buttons[11].click();"
    *_, numbers = opened(site, tmp_path, "hidden_state", act=act)
    figure = networks.hidden_state()
    rnn = figure.networks["rnn"]
    x = torch.tensor(figure.data["inputs"])
    x[0, 0] = 0.25
    h = live.exactly(rnn, x)
    W_ih, W_hh, b_ih, b_hh = [parameter.detach().double() for parameter in rnn.parameters()]
    parts = W_ih @ x[2].double() + b_ih, W_hh @ h[1] + b_hh
    close(numbers, h.T, *(part[3] for part in parts), h[2, 3])


@needs_linker
@needs_chromium
def test_what_the_model_writes_has_its_surprise(site: Path, tmp_path: Path) -> None:
    act = """
        buttons[buttons.length - 1].click();
        while (input.value.length < 9) await new Promise((done) => setTimeout(done, 20));
        buttons[buttons.length - 1].click();
    """
    value, words, numbers = opened(site, tmp_path, "language_models", act=act)
    figure = networks.language_models()
    gru, head = figure.networks["model"]
    steps = networks.one_hot(figure.data["characters"], value)
    chances = live.exactly(head, live.exactly(gru, steps)).softmax(1)
    surprise = -chances[:-1].gather(1, steps[1:].argmax(1, keepdim=True)).log() / math.log(2)
    close(numbers, surprise, chances[-1])
    assert value.startswith("四十四是四十")
    assert "Write on" in words


@needs_linker
@needs_chromium
def test_tags_are_the_likeliest_legal_ones(site: Path, tmp_path: Path) -> None:
    sentence = "雷北京"
    act = f'input.value = "{sentence}"; input.dispatchEvent(new Event("input"));'
    _, words, numbers = opened(site, tmp_path, "tagging", act=act)
    figure = networks.tagging()
    gru, head = figure.networks["tagger"]
    steps = networks.one_hot(figure.data["characters"], sentence)
    chances = live.exactly(head, live.exactly(gru, steps)).softmax(1)
    close(numbers, chances.T)

    def legal(path: tuple[str, ...]) -> bool:
        return all(b[0] != "I" or a[1:] == b[1:] for a, b in itertools.pairwise(("O", *path)))

    tags = figure.data["tags"]
    paths = [path for path in itertools.product(tags, repeat=3) if legal(path)]
    places = torch.tensor([[tags.index(tag) for tag in path] for path in paths])
    best = paths[int(chances[range(3), places].prod(1).argmax())]
    assert re.findall(r"O|[BI]-[A-Z]+", words)[:3] == list(best)
    assert [tags[i] for i in chances.argmax(1)] != list(best), "which each step would find"


def test_every_figure_is_shown_in_both_languages() -> None:
    for chinese in (False, True):
        pages = [page for page in PAGES if page.name.endswith(CHINESE) == chinese]
        shown = [name for page in pages for name in live.MARK.findall(text(page))]
        assert sorted(shown) == sorted(networks.FIGURES)


def test_a_page_loads_the_scripts_of_its_figures() -> None:
    (script,) = live.scripts('<div data-live="gates"></div>', "../")
    assert script == '<script type="module" src="../live/gates.js"></script>'
    with pytest.raises(ValueError, match=r"expected one of \['order'.*, got 'gate'"):
        list(live.scripts('<div data-live="gate"></div>', ""))
