"""Tags and spans: what schemes say, and what they don't allow."""

import random

import pytest

from elman.tasks import TaskError
from elman.tasks.data.schemes import (
    SCHEMES,
    SchemeError,
    Span,
    allowed,
    check_spans,
    detect,
    labels_of,
    read_tags,
    write_tags,
)
from elman.tasks.data.tagged import as_span, in_characters, in_tokens, to_bioes

A, B = Span(0, 2, "a"), Span(2, 3, "b")


@pytest.mark.parametrize(
    ("tags", "scheme", "spans"),
    [
        ("B-a I-a B-b O", "BIO", [A, B]),
        ("B-a E-a S-b O", "BIOES", [A, B]),
        ("B-a L-a U-b O", "BIOES", [A, B]),
        ("I-a I-a I-b O", "IO", [A, B]),
        ("I-a I-a B-b O", "IOB1", [A, B]),
        ("I-a B-a I-a O", "IOB1", [Span(0, 1, "a"), Span(1, 3, "a")]),
        ("B-a-x I-a-x", "BIO", [Span(0, 2, "a-x")]),
        ("O O", "BIO", []),
        ("", "BIO", []),
        ("DET O", "tags", [Span(0, 1, "DET"), Span(1, 2, "O")]),
    ],
)
def test_tags_are_read(tags, scheme, spans):
    assert read_tags(tags.split(), scheme) == spans


@pytest.mark.parametrize("scheme", ["BIO", "BIOES", "IOB1"])
def test_what_is_written_is_read_back(scheme):
    draw = random.Random(0)
    for _ in range(200):
        spans, at = [], 0
        while at < 12:
            end = at + draw.randint(1, 4)
            if draw.random() < 0.6:
                spans.append(Span(at, end, draw.choice("ab")))
            at = end
        tags = write_tags(spans, 16, scheme)
        assert read_tags(tags, scheme) == spans
        if scheme == "BIOES":
            assert all(allowed(a, b) for a, b in zip([None, *tags], [*tags, None], strict=True))


@pytest.mark.parametrize(
    ("tags", "scheme", "at", "message"),
    [
        ("O I-a", "BIO", 1, "I-a follows O; in BIO a span begins with B;"),
        ("I-a", "BIO", 0, "I-a follows nothing"),
        ("B-a I-b", "BIO", 1, "I-b follows B-a"),
        ("B-a O", "BIOES", 0, "B-a isn't followed by I-a or E-a; in BIOES a span ends with E"),
        ("S-a E-a", "BIOES", 1, "E-a follows S-a; in BIOES a span begins with B or is S"),
        ("B-a I-a", "BIOES", 1, "I-a isn't followed"),
        ("B-a S-b", "BIO", 1, "'S-b' is no tag of BIO; its letters are B, I"),
        ("a", "BIO", 0, "'a' is no tag of BIO; expected O, or a letter, a hyphen and a label"),
        ("B-", "BIO", 0, "'B-' is no tag"),
    ],
)
def test_what_a_scheme_does_not_allow_is_told(tags, scheme, at, message):
    with pytest.raises(SchemeError) as error:
        read_tags(tags.split(), scheme)
    assert error.value.at == at
    assert message in str(error.value)
    assert isinstance(error.value, TaskError)


@pytest.mark.parametrize(
    ("rows", "scheme"),
    [
        (["O O", "B-a I-a"], "BIO"),
        (["B-a"], "BIO"),
        (["S-a"], "BIOES"),
        (["B-a L-a"], "BIOES"),
        (["I-a O"], "IO"),
        (["NN VB"], "tags"),
        (["B-a NN"], "tags"),
        (["O"], "IO"),
    ],
)
def test_schemes_are_recognised(rows, scheme):
    assert detect([row.split() for row in rows]) == scheme
    assert scheme in SCHEMES


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([[0, 3, "a"], [2, 4, "b"]], r"spans that overlap; \(0, 3, 'a'\) and \(2, 4, 'b'\)"),
        ([[0, 9, "a"]], r"a span that isn't in the text; \(0, 9, 'a'\) of 5 .* end <= 5"),
        ([[2, 2, "a"]], "a span that isn't in the text"),
        ([[-1, 2, "a"]], "a span that isn't in the text"),
        ([[0, 2]], r'a span that is none; \[0, 2\]; expected \[start, end, "label"\]'),
        ([[0, "2", "a"]], "a span that is none"),
        ([[True, 2, "a"]], "a span that is none"),
        ([[0, 2, " "]], "a span that is none"),
        ([{"start": 0, "stop": 2, "label": "a"}], "a span that is none"),
    ],
)
def test_spans_that_do_not_fit_are_told(spans, message):
    with pytest.raises(SchemeError, match=message):
        check_spans(map(as_span, spans), 5)


def test_spans_of_characters_and_of_words():
    text = "Ann O'Neil, of Rome"
    spans = [Span(0, 3, "a"), Span(15, 19, "b")]
    assert in_tokens(spans, text) == [Span(0, 1, "a"), Span(6, 7, "b")]
    assert in_characters(in_tokens(spans, text), text) == [(0, 3), (15, 19)]
    with pytest.raises(SchemeError, match=r"begins or ends within a word; .*'nn'; use characters"):
        in_tokens([Span(1, 3, "a")], text)
    assert to_bioes(text, "words", [[0, 10, "a"]], "BIO")[:5] == ["B-a", "I-a", "I-a", "E-a", "O"]


def test_labels_are_in_order_and_complete():
    assert labels_of([["B-b", "E-b"], ["O", "S-a"]]) == ["O", "S-a", "B-b", "I-b", "E-b"]
    assert labels_of([["S-a", "S-b"]]) == ["S-a", "S-b"]
