"""Hundreds of malformed calls in one process, which survives them, and what they give.

A call that torch.nn takes gives its numbers, and one that it refuses raises its exception. Where
elman does otherwise, and why, is in the table ``OTHERWISE``.
"""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.nn import malformed
from tests.systems import PATIENCE

ROOT = Path(__file__).parents[2]
SPARSE = "coo|csr|batched csr"
NESTED = "nested|ragged nested|jagged"
WEIGHT = "(weight|bias)_[a-z0-9_]* by_[a-z]*"

#: What torch.nn does and what elman does: an exception, "" for a result; in which calls; why.
OTHERWISE: list[tuple[str, str, str, str]] = [
    ("AttributeError", "TypeError", f"{WEIGHT} .*", "torch.nn stumbles over what is no tensor"),
    ("NotImplementedError", "RuntimeError", ".*", "which is a RuntimeError"),
    ("RuntimeError", "NotImplementedError", f"{WEIGHT} .*", "a layout that torch.linear refuses"),
    ("NotImplementedError", "ValueError", ".* quantized", "another dtype, as any other is"),
    ("ValueError", "RuntimeError", f".* ({NESTED}|uninitialised)", "refused for what they are"),
    ("ValueError", "TypeError", f"{WEIGHT} .*", "no tensor, whatever its dtype"),
    ("", "RuntimeError", "hx 1 .*", "torch.nn's LSTMCell converts c, and h not"),
    ("TypeError", "RuntimeError", "attribute .*", "the weights are not of such a module"),
    ("TypeError", "", "constructor (bidirectional|num_layers)=.*", "flags are what Python takes"),
    (
        "TypeError",
        "",
        "attribute (batch_first|dropout)=.*",
        "the same; one layer drops nothing",
    ),
    ("ValueError", "", "constructor proj_size=(0|None)", "which is none"),
    ("ValueError", "TypeError", r"constructor \(4, 5, 1.*", "arguments are counted first"),
    ("RuntimeError", "", "attribute bias=False", "the weights that there are count"),
    ("RuntimeError", "", "packed batch_sizes strided", "torch.nn reads them as contiguous"),
    ("", "RuntimeError", f".* ({SPARSE}|{NESTED})", "dense tensors only; torch.nn takes some"),
    ("", "RuntimeError", ".* zero tensor", "has no memory; only autograd makes them"),
    ("", "", ".* zero tensor", "torch.nn's LSTM reads that memory"),
    (
        "RuntimeError",
        "",
        ".* zero tensor",
        "and its cell asks for it, where elman's reference adds",
    ),
    ("", "RuntimeError", ".* of inference", "torch.nn keeps a copy, or nothing, where elman keeps"),
    ("", "", "bias_.* of inference", "torch.nn has no gradient for them"),
    ("", "RuntimeError", "bias_.* (shape .*|huge strides)", "torch.nn broadcasts them"),
    ("", "RuntimeError", f"{WEIGHT} meta", "torch.nn computes nothing at all"),
    ("", "RuntimeError", "packed (batch_sizes|data shape) .*", "torch.nn leaves rows out"),
    ("", "RuntimeError", "attribute input_size=.*", "torch.nn's cells do not look at it"),
    ("", "AttributeError", f"{WEIGHT} .*", "deleted; torch.nn keeps what it had"),
    ("", "TypeError", f"{WEIGHT} .*", "None; torch.nn keeps what it had, or adds nothing"),
]
#: Sentences of torch.nn with which elman's message does not begin, and why.
OWN_BEGINNING: list[tuple[str, str]] = [
    (r".*(__init__|forward)\(\) (got|missing|takes) .*", "Python's, of another method"),
    (r"Attempted to use an uninitialized parameter in .*", "it names what asked for it"),
    # A weight that something has replaced: torch.nn checks little of them, elman names it.
    (r"The expanded size of the tensor .*|Attempting to broadcast a .*", "what met a wrong bias"),
    (r"expand\(torch.FloatTensor.*|both arguments to linear need .*", "the same"),
    (r"mat1 and mat2 shapes cannot be multiplied .*|mat2 must be a matrix.*", "what met a weight"),
    (r"t\(\) expects a tensor with <= 2 dimensions.*", "the same"),
    (r"self and mat2 must have the same dtype.*", "the same, in an order that it chooses"),
    (r"(weight_ih first dim|input has inconsistent|hidden0 has).*", "others are wrong besides"),
    (r"Input and parameter tensors are not at the same device.*", "the same"),
    (r"cannot create weak reference to .*|expected Tensor as element .*", "what met no weight"),
    (r"[a-z_]*_cell\(\): argument '[wb]_[ih]h' .* must be Tensor, not .*", "the same"),
    (r"Expected more weights in stacked_rnn|Odd number of params or .*", "what met too few"),
    (r"Function AddmmBackward0 returned an invalid gradient .*", "found in the backward pass"),
    # A tensor of another layout: whatever operator met it.
    (r".*\b([Ss]parse|CSR|SparseCsr|MKL-DNN|MkldnnCPU)\b.*", "a layout"),
    (r"(?i).*\b(nested|nested_?tensor\w*|irregular|j\d+)\b.*", "the same"),
    (r".*(SymIntArrayRef expected to contain|dispatch_on_subclass called with).*", "the same"),
    # A tensor without memory.
    (r"setStorage: sizes .*|The tensor has a non-zero number of elements.*", "no memory"),
    (r"ZeroTensors are immutable.*|could not execute a primitive", "the same"),
    # What torch.nn does not check.
    (r"get_mkldnn_dtype: .*|itensor_view_from_.*|could not create a primitive .*", "oneDNN's"),
    (r"Promotion for Float8 Types .*|promoteTypes with quantized .*", "LSTMCell converts c"),
    (r"Tensor on device \w+ is not on the expected device \w+!", "the layers' is used for cells"),
    (r"start \(\d+\) \+ length .*|shape '.*' is invalid for input .*", "what met batch_sizes"),
    (r"output with shape .* doesn't match .*|The size of tensor a .*", "the same"),
    (r"Storage size calculation overflowed .*|.*invalid combination of arguments.*", "the same"),
    (r"Expected hidden size .*", "sorted_indices of another length, which elman looks at later"),
    (r"zeros\(\): argument 'dtype' must be torch.dtype, not .*", "packed data that is no tensor"),
]
TORCH = torch.torch_version.TorchVersion(torch.__version__)
if TORCH >= "2.14":
    OTHERWISE.append(("AttributeError", "RuntimeError", f"{WEIGHT} by_data jagged", "the same"))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """By library, what each call gave."""
    folder, found = tmp_path_factory.mktemp("outcomes"), {}
    for library in ("elman", "torch.nn"):
        file = folder / library
        said = folder / f"said by {library}"  # no pipe: each line would wake this process
        with said.open("w") as lines:
            done = subprocess.run(
                [sys.executable, "-m", "tests.nn.malformed", library, file],
                cwd=ROOT,
                stdout=lines,
                stderr=subprocess.PIPE,
                text=True,
                timeout=PATIENCE,
            )
        last = said.read_text().splitlines()[-1:]
        assert done.returncode == 0, f"{library} ended in {last}: {done.stderr[-2000:]}"
        found[library] = pickle.loads(file.read_bytes())
    return found


def same(ours: list, theirs: list) -> bool:
    """Whether the results and gradients agree in dtype, shape and numbers."""
    if [r[:2] for r in ours] != [r[:2] for r in theirs]:
        return False
    for (dtype, _, mine), (_, _, others) in zip(ours, theirs, strict=True):
        near = 2e-2 if "16" in dtype else 1e-4  # of which torch may be off by half
        if (mine is None) != (others is None):
            return False
        pair = [torch.tensor(n, dtype=torch.float64) for n in (mine, others) if n is not None]
        if pair and not torch.allclose(*pair, rtol=near, atol=near, equal_nan=True):
            return False
    return True


def test_a_malformed_call_does_what_torchs_does_or_what_the_table_says(
    outcomes: dict[str, dict],
) -> None:
    theirs, wrong, used = outcomes["torch.nn"], [], set()
    for (name, what, path), (error, ours) in outcomes["elman"].items():
        expected, value = theirs.get((name, what, ""), ("crash", None))
        if error == expected and (error or same(ours, value)):
            continue
        if expected == "crash":  # that elman's process lives is what is asked
            continue
        for i, (torchs, elmans, pattern, _) in enumerate(OTHERWISE):
            if (expected, error) == (torchs, elmans) and re.fullmatch(
                f"(stacked |unbatched )?({pattern})", what
            ):
                used.add(i)
                break
        else:
            text = ours if error else "a result"
            wrong.append(f"{name}: {what} ({path}): {expected!r}, got {error!r}: {text}")
    assert not wrong, "\n".join([f"{len(wrong)} calls", *wrong])
    unused = [row for i, row in enumerate(OTHERWISE) if i not in used]
    assert not unused, "\n".join(map(str, unused))


def test_both_libraries_were_called_often_and_in_vain(outcomes: dict[str, dict]) -> None:
    for name in malformed.KINDS:
        for found in outcomes.values():
            errors = [error for (kind, *_), (error, _) in found.items() if kind == name]
            assert sum(map(bool, errors)) > 300
            assert errors.count("") > 100
    calls = {key[:2] for key in outcomes["elman"]}
    skipped = {key for key in calls if malformed.crashes(*key)}
    assert {key[:2] for key in outcomes["torch.nn"]} == calls - skipped


def test_every_message_of_a_wrong_input_or_state_names_it(outcomes: dict[str, dict]) -> None:
    for (name, what, _), (error, text) in outcomes["elman"].items():
        asked = re.fullmatch(r"(?:stacked |unbatched )?(input|hx)( \d)? shape .*", what)
        if asked and error:
            named = (
                rf"(^|[;.] ){name}: expected (the last dimension of )?{asked[1]}(\[\d\])? .*, got "
            )
            assert re.search(named, text), f"{what}: {text}"


@pytest.mark.skipif(TORCH < "2.13", reason="whose sentences are others")
def test_a_message_begins_with_torchs_sentence_unless_the_table_says_why(
    outcomes: dict[str, dict],
) -> None:
    theirs, wrong, used, alike = outcomes["torch.nn"], [], set(), 0
    for (name, what, path), (error, text) in outcomes["elman"].items():
        expected, sentence = theirs.get((name, what, ""), ("", None))
        if not error or error != expected:
            continue  # which is what the table above is about
        (sentence, *_) = sentence.splitlines()
        if text.startswith(sentence):
            alike += 1
            continue
        for i, (pattern, _) in enumerate(OWN_BEGINNING):
            if re.fullmatch(pattern, sentence):
                used.add(i)
                break
        else:
            wrong.append(f"{name}: {what} ({path}): {sentence!r}, got {text!r}")
    assert not wrong, "\n".join([f"{len(wrong)} messages", *wrong])
    assert [row for i, row in enumerate(OWN_BEGINNING) if i not in used] == []
    assert alike > 3000
