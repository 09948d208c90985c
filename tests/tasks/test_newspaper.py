"""The newspaper's sentences, as a tagger learns from them."""

from collections import Counter

from elman.tasks.data.newspaper import read_newspaper


def test_the_newspaper_has_its_names_words_and_parts_of_speech():
    names = read_newspaper()
    assert len(names) == 19_484
    assert names.texts[1] == "中共中央总书记、国家主席江泽民"
    spans = names.spans([1])[0]
    assert spans == [(0, 4, "nt"), (12, 13, "nr"), (13, 15, "nr")]
    counts = Counter(span.label for row in names.spans() for span in row)
    assert counts == {"nr": 35_267, "ns": 27_890, "nt": 3_573}
    words = read_newspaper(labels=None, word="word")
    assert words.spans([1])[0][:2] == [(0, 4, "word"), (4, 7, "word")]
    assert "O" not in {tag for tags in words.tags for tag in tags}
    both = read_newspaper(auxiliary=True)
    assert both.tags == names.tags
    assert both.auxiliary[1][:7] == ["B-nt", "I-nt", "I-nt", "E-nt", "B-n", "I-n", "E-n"]
