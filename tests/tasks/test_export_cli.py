"""`elman export`: trained models as object code, in C programs that say what Python says."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from elman.tasks import LanguageModel, SequenceClassifier, SequenceRegressor
from elman.tasks.data.text import RESERVED
from elman.tasks.errors import TaskError
from elman.tasks.models.chain import Chain
from elman.tasks.models.ctables import tables
from elman.tasks.models.forecaster import TrainedForecaster
from elman.tasks.models.opening import load_model
from elman.tasks.models.tagger import TrainedTagger
from elman.tasks.series import SeriesClassifier, SeriesRegressor
from tests.artefact.linked import Linked, needs_compiler
from tests.artefact.machines import TOOLCHAINS
from tests.tasks.plain_rows import make_text
from tests.tasks.rows import make_rows
from tests.tasks.series_rows import make_series

EXAMPLE = Path(__file__).parents[2] / "examples" / "generate.c"
LANGUAGE = {"embedding_size": 12, "window": 16, "batch_size": 4, "epochs": 4, "lr": 0.04}
ONE_WAY = {"bidirectional": False, "pooling": "last", "hidden_size": 9, "epochs": 1, "verbose": 0}

PROGRAM = """\
#include <stdio.h>
#include "book.h"
int main(void) {
    static book_state state;
    static float y[BOOK_OUTPUTS];
    int token = 0;
    book_init(&state);
    for (int t = 0; t < 50; t++) {
        book_step(&state, token, y);
        token = 2;
        for (int i = 2; i < BOOK_OUTPUTS; i++)
            if (y[i] > y[token]) token = i;
        printf("%d", token);
        for (int i = 0; i < BOOK_OUTPUTS; i++) printf(" %.9g", y[i]);
        putchar('\\n');
    }
    return 0;
}
"""


@pytest.fixture(scope="module", params=["few tokens", "torch.nn", "bytes", "one matrix"])
def book(request, tmp_path_factory):
    """The folder of a language model: with two matrices behind the layers, one of both, or one."""
    further = {
        "few tokens": {"hidden_size": 16, "embedding_size": 40, "cell": "gru"},
        "torch.nn": {"hidden_size": [16, 10], "backend": "torch"},
        "bytes": {"hidden_size": 16, "tokens": "bytes"},
        "one matrix": {"hidden_size": 12, "cell": "lightgru"},
    }
    model = LanguageModel(**{**LANGUAGE, **further[request.param]}, verbose=0)
    folder = tmp_path_factory.mktemp("models") / "book"
    model.fit([make_text(150)]).save(folder)
    return folder


def _built(tools, source: Path, folder: Path) -> list:
    """The command that runs a program with the artefact of a folder."""
    if tools.missing():
        pytest.skip(tools.missing())
    program = folder / source.stem
    flags = ["-O1", "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", f"-I{folder}"]
    command = [tools.compiler, *flags, source, folder / "book.o", "-lm", *tools.flags]
    done = subprocess.run([*command, "-o", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [*tools.run, program]


@pytest.mark.parametrize("target", ["host", "aarch64"])
def test_a_program_has_the_scores_of_python(run, book, tmp_path, target):
    status, _, err = run("export", book, "made", "--name", "book", "--target", target)
    assert (status, err) == (0, "")
    source = tmp_path / "scores.c"
    source.write_text(PROGRAM)
    command = _built(TOOLCHAINS[target], source, tmp_path / "made")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    rows = np.array([line.split() for line in done.stdout.splitlines()], float)

    network = load_model(book).network
    ids = torch.tensor([0, *rows[:-1, 0].astype(int)])
    with torch.no_grad():
        features, _ = network(ids[:, None], network.begin())
        weight = network.embedding.weight
        scores = torch.nn.functional.linear(features[:, 0], weight, network.bias)
    assert len(rows) == 50
    np.testing.assert_allclose(rows[:, 1:], scores.numpy(), atol=1e-5, rtol=1e-5)
    assert (rows[:, 0] == scores[:, RESERVED:].argmax(1).numpy() + RESERVED).all()


@pytest.mark.parametrize("target", ["host", "aarch64"])
def test_the_example_goes_on_with_a_text_as_python_does(run, book, tmp_path, target):
    assert run("export", book, "made", "--name", "book", "--target", target)[0] == 0
    command = _built(TOOLCHAINS[target], EXAMPLE, tmp_path / "made")

    def said(*arguments: str) -> str:
        done = subprocess.run([*command, *arguments], capture_output=True, timeout=120)
        assert done.returncode == 0
        return done.stdout.decode(errors="replace")

    for prompt in ("the cat", "我们é", ""):
        likeliest = load_model(book).generate(prompt, length=80, temperature=0)
        assert said(prompt, "80", "0") == prompt + "".join(likeliest) + "\n"
    assert said("a", "60", "1", "5") == said("a", "60", "1", "5") != said("a", "60", "1", "6")


@needs_compiler
def test_what_is_written_is_told(run, book, tmp_path):
    status, out, err = run("export", book, "made", "--name", "book")
    made = json.loads((tmp_path / "made/book.json").read_bytes())
    assert (status, err) == (0, "")
    assert "book.o, book_tables.h, book_test.c" in out
    assert f"one of {made['tokens']} tokens, and writes {made['outputs']} numbers: scores" in out
    for size in ("code_bytes", "constant_bytes", "state_bytes"):
        assert f" {made[size]:,} bytes\n" in out
    assert out.endswith("Test it with: make -C made test\n")
    assert made["vocabulary"] == load_model(book).vocabulary_.tokens
    _, out, _ = run("export", book, "chip", "--name", "book", "--target", "cortex-m4f")
    assert out.endswith("which the Makefile names.\n")
    assert subprocess.run(["make", "-s", "-C", tmp_path / "made", "test"]).returncode == 0
    # Again, and with other weights: in the same folder.
    assert run("export", book, "made", "--name", "book", "--weights", "int8")[0] == 0
    narrow = json.loads((tmp_path / "made/book.json").read_bytes())
    assert narrow["constant_bytes"] < made["constant_bytes"]


def test_data_say_what_narrow_weights_change(run, book, tmp_path):
    (tmp_path / "said.txt").write_text("the cat\n\na\n")
    told = {}
    for weights in ("bfloat16", "int8"):
        status, out, err = run("export", book, "made", "--weights", weights, "--data", "said.txt")
        assert (status, err) == (0, "")
        told[weights] = json.loads((tmp_path / "made/model.json").read_bytes())["error"]
        assert f"change an output by {told[weights]['largest']:.2g} at most" in out
    assert 0 < told["bfloat16"]["rms"] < told["int8"]["rms"] < told["int8"]["largest"]
    for options, said in (
        (["--data", "said.txt"], "--data says what --weights bfloat16 or int8 changes"),
        (["--weights", "int8", "--data", "none.txt"], "none.txt: "),
        (["--weights", "int8", "--data", "empty.txt"], "empty.txt: holds no text"),
    ):
        (tmp_path / "empty.txt").write_text("\n \n")
        status, _, err = run("export", book, "other", *options)
        assert status == 1
        assert said in err
        assert not (tmp_path / "other").exists()


def test_texts_are_read_as_the_model_reads_them(texts):
    model = SequenceClassifier(**ONE_WAY, ngrams=0, max_length=4).fit(*texts)
    ids = model.chain().ids("\uff27ood old")
    assert ids.tolist() == model.vocabulary_.encode("good").tolist()


@pytest.fixture(scope="module")
def texts():
    return make_rows(60)


def _outputs(linked: Linked, x: torch.Tensor) -> np.ndarray:
    """What there is after the last step."""
    linked.begin()
    return linked.chunk(x)[-1].numpy()


def _linked(model, folder: Path, **options) -> Linked:
    chain = model.chain()
    linked = Linked(torch.nn.Sequential(*chain.modules), folder, **options)
    assert chain.tokens or not tables(chain._replace(labels=[]), "own")
    return linked


@needs_compiler
@pytest.mark.parametrize("several", [False, True])
def test_a_classifier_of_texts_says_what_it_says_in_python(texts, several, tmp_path):
    X, y = texts
    labels = [[one, "any"] for one in y] if several else y
    model = SequenceClassifier(**ONE_WAY, ngrams=0, tokens="bytes").fit(X, labels)
    linked = _linked(model, tmp_path)
    for text, expected in zip(X[:5], model.predict_proba(X[:5]), strict=True):
        ids = torch.from_numpy(model.vocabulary_.encode(model.read(text)))
        np.testing.assert_allclose(_outputs(linked, ids), expected, atol=1e-6)


@needs_compiler
def test_a_regressor_of_texts_says_what_it_says_in_python(texts, tmp_path):
    X, y = texts
    numbers = [100.0 + 5 * (one == "positive") for one in y]
    model = SequenceRegressor(**ONE_WAY, ngrams=0).fit(X, numbers)
    linked = _linked(model, tmp_path)
    for text, expected in zip(X[:5], model.predict(X[:5]), strict=True):
        ids = torch.from_numpy(model.vocabulary_.encode(model.read(text)))
        np.testing.assert_allclose(_outputs(linked, ids), [expected], rtol=1e-5)


@needs_compiler
@pytest.mark.parametrize("patch", [1, 3])
@pytest.mark.parametrize("kind", [SeriesClassifier, SeriesRegressor])
def test_a_model_of_series_says_what_it_says_in_python(kind, patch, tmp_path):
    series, labels = make_series(30)
    numbers = [7.0 + (one == "quick") for one in labels]
    y = labels if kind is SeriesClassifier else numbers
    model = kind(**ONE_WAY, patch=patch).fit(series, y)
    linked = _linked(model, tmp_path)
    say = model.predict_proba if kind is SeriesClassifier else model.predict
    reading = model.reading_
    for one in series[:5]:
        whole = one[:, : one.shape[1] // patch * patch]
        linked.begin()
        found = linked.chunk(torch.from_numpy(_given(whole.T, reading.mean, patch)))[-1]
        np.testing.assert_allclose(found, np.atleast_1d(say([whole])[0]), atol=2e-5)


def _given(values: np.ndarray, mean: np.ndarray, patch: int) -> np.ndarray:
    """Steps (T, C) as a program gives them: for each channel `patch` values, then flags."""
    gaps = np.isnan(values)
    every = np.concatenate([np.where(gaps, mean, values), gaps], 1)
    steps = every.reshape(-1, patch, every.shape[1]).transpose(0, 2, 1)
    return np.ascontiguousarray(steps.reshape(len(steps), -1), np.float32)


def test_tokens_and_labels_are_strings_of_c(tmp_path):
    tokens = ['"', "\\", "\n", "?", "é", "1", "\ud800"]
    labels = ['a"b', "??="]
    chain = Chain([], "scores", "characters", tokens, labels)
    sizes = "#define OWN_TOKENS 9\n#define OWN_OUTPUTS 2\n"
    (tmp_path / "own.h").write_text(f"#include <stddef.h>\n{sizes}")
    (tmp_path / "own_tables.h").write_text(tables(chain, "own"))
    if shutil.which("cc") is None:
        pytest.skip("needs cc")
    (tmp_path / "show.c").write_text(
        '#include <stdio.h>\n#include "own_tables.h"\n'
        "int main(void) {\n    size_t n;\n"
        "    for (int i = 0; i < OWN_TOKENS; i++) puts(own_tokens[i]);\n"
        "    for (int i = 0; i < 2; i++) puts(own_labels[i]);\n"
        '    for (const char *c = "1\\xc3\\xa9\\xe4\\xbb\\xac"; *c; c += n)'
        ' printf("%d,", own_token(c, &n));\n    return 0;\n}\n'
    )
    command = ["cc", "-std=c99", "-Wall", "-Werror", "show.c", "-o", "show"]
    done = subprocess.run(command, cwd=tmp_path)
    assert done.returncode == 0
    shown = subprocess.run([tmp_path / "show"], capture_output=True).stdout
    lines = ["", "", *tokens, *labels, "7,6,1,"]
    assert shown.decode("utf-8", "surrogatepass") == "\n".join(lines)


@needs_compiler
@pytest.mark.parametrize("pooling", ["max_mean", "last"])
def test_a_classifier_that_reads_both_ways_says_what_it_says_in_python(
    run, texts, pooling, tmp_path
):
    X, y = texts
    both = {**ONE_WAY, "bidirectional": True, "pooling": pooling, "max_length": 30, "ngrams": 0}
    model = SequenceClassifier(**both, tokens="bytes").fit(X, y)
    linked = _linked(model, tmp_path / "linked", max_steps=30)
    for text, expected in zip(X[:5], model.predict_proba(X[:5]), strict=True):
        ids = torch.from_numpy(model.vocabulary_.encode(model.read(text)))
        np.testing.assert_allclose(linked.chunk(ids)[0].numpy(), expected, atol=1e-6)
    model.save(tmp_path / "saved")
    status, out, err = run("export", "saved", "made")
    assert (status, err) == (0, "")
    assert "A sequence has at most 30 steps. Each reads one of " in out
    assert "After the last, it writes 2 numbers: probabilities of the labels." in out
    assert subprocess.run(["make", "-s", "-C", tmp_path / "made", "test"]).returncode == 0


@needs_compiler
def test_a_model_of_series_that_reads_both_ways_is_told_the_longest(run, tmp_path):
    series, labels = make_series(30)
    model = SeriesClassifier(**{**ONE_WAY, "bidirectional": True, "pooling": "max"}, patch=1)
    model.fit(series, labels).save(tmp_path / "saved")
    status, _, err = run("export", "saved", "made")
    assert status == 1
    assert "expected max_steps, the most steps of a sequence" in err
    assert (
        "--data is for models that read texts" in run("export", "saved", "made", "--data", "x")[2]
    )
    assert run("export", "saved", "made", "--max-steps", 90)[0] == 0
    linked = _linked(model, tmp_path / "linked", max_steps=90)
    for one in series[:5]:
        given = torch.from_numpy(_given(one.T, model.reading_.mean, 1))
        found = linked.chunk(given)[0].numpy()
        np.testing.assert_allclose(found, model.predict_proba([one])[0], atol=2e-5)


def test_models_with_answers_beside_the_network_are_refused(run, model, tmp_path):
    status, out, err = run("export", model, "made")
    assert (status, out) == (1, "")
    assert err.startswith(f"elman: {model}: To be exported, a model must have its answer from one")
    assert err.endswith("train with --ngrams 0.\n")
    assert not (tmp_path / "made").exists()


def test_several_networks_are_refused(texts):
    model = SequenceClassifier(**{**ONE_WAY, "n_estimators": 2, "ngrams": 0}).fit(*texts)
    with pytest.raises(TaskError, match="train with --n-estimators 1"):
        model.chain()


def test_an_adaptive_softmax_is_refused(book):
    opened = load_model(book)
    opened.network_.adaptive = torch.nn.Identity()
    with pytest.raises(TaskError, match="higher --adaptive-from"):
        opened.chain()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--target", "cortex-m4"], "did you mean 'cortex-m4f'?\n"),
        (["--name", "a-b"], "got 'a-b'.\n"),
    ],
)
def test_options_that_cannot_be_are_refused(run, book, tmp_path, options, said):
    status, out, err = run("export", book, "made", *options)
    assert (status, out) == (1, "")
    assert err.endswith(said)
    assert not (tmp_path / "made").exists()


def test_folders_of_others_stay_as_they_are(run, book, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.json").write_text("{}")
    status, out, err = run("export", book, "mine")
    assert (status, out) == (1, "")
    assert err == "elman: mine: holds files but no export; choose an empty or a new folder.\n"
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.json"]
    assert run("export", book, "mine/notes.json")[2].startswith("elman: mine/notes.json: is a file")
    (tmp_path / "empty").mkdir()
    assert run("export", book, "empty")[0] == 0


@pytest.mark.parametrize(
    ("kind", "why"), [(TrainedTagger, "several ids"), (TrainedForecaster, "scaled by its own")]
)
def test_taggers_and_forecasters_are_refused(kind, why):
    with pytest.raises(TaskError, match=f"can't be exported, since .*{why}.*; expected a language"):
        kind().chain()
