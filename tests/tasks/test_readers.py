"""Tables of texts and labels: every row arrives or is accounted for."""

import json

import pytest

from elman.tasks import TaskError
from elman.tasks.data.readers import read_table

# Real rows: a comma, quotes and a line break inside values.
CHINESE = [
    ("房间很干净,前台态度也好。", "positive"),
    ('书皮上写着"正版",其实是盗版', "negative"),
    ("第一次用就死机\n第二次也是", "negative"),
]


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def quoted(value):
    return '"' + value.replace('"', '""') + '"'


def table_of(folder, suffix):
    if suffix == ".jsonl":
        rows = [json.dumps({"text": t, "label": s}, ensure_ascii=False) for t, s in CHINESE]
        return write(folder, "reviews.jsonl", "\n".join(rows) + "\n")
    separator = {".csv": ",", ".tsv": "\t"}[suffix]
    rows = [separator.join(("id", "text", "label"))]
    rows += [separator.join(("1", quoted(t), quoted(s))) for t, s in CHINESE]
    return write(folder, f"reviews{suffix}", "\r\n".join(rows) + "\r\n")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_formats(tmp_path, suffix):
    table = read_table(table_of(tmp_path, suffix), "text", "label")
    assert list(zip(table.texts, table.labels, strict=True)) == CHINESE
    assert table.lines == ([1, 2, 3] if suffix == ".jsonl" else [2, 3, 4])
    assert table.empty == []


def test_a_row_over_several_lines_is_noted_and_the_next_one_counted_right(tmp_path):
    path = write(tmp_path, "a.csv", 'text,label\n"one\ntwo",x\nthree,y\n')
    table = read_table(path, "text", "label")
    assert table.texts == ["one\ntwo", "three"]
    assert table.lines == [2, 4]
    assert table.notes == ["1 row over several lines (line 2)"]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path, name):
    content = {"a.csv": "text,label\nhello,x\n", "a.jsonl": '{"text": "hello", "label": "x"}\n'}
    path = write(tmp_path, name, b"\xef\xbb\xbf" + content[name].encode())
    assert read_table(path, "text", "label").texts == ["hello"]


def test_blank_lines_are_no_rows_and_spaces_around_values_dont_count(tmp_path):
    path = write(tmp_path, "a.csv", "text, label\n\n  hello , x \n\n")
    table = read_table(path, "text", "label")
    assert (table.texts, table.labels, table.lines) == (["hello"], ["x"], [3])


def test_a_very_long_text_is_no_error(tmp_path):
    path = write(tmp_path, "a.csv", f"text,label\n{'长' * 200_000},x\n")
    assert len(read_table(path, "text", "label").texts[0]) == 200_000


def test_labels_of_json_may_be_whole_numbers_and_booleans(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"t": "a", "s": 1}\n{"t": "b", "s": true}\n')
    assert read_table(path, "t", "s").labels == ["1", "true"]


EMPTY = "text,label\na,x\n,x\nb,\n  ,y\nc,y\n"


def test_rows_without_text_or_label_are_an_error_with_their_lines(tmp_path):
    path = write(tmp_path, "a.csv", EMPTY)
    with pytest.raises(TaskError) as error:
        read_table(path, "text", "label")
    assert str(error.value) == (
        f"{path}: 3 of 5 rows have no 'text' or no 'label' (lines 3, 4, 5); "
        "fill them in, or leave them out with --skip-empty."
    )


def test_rows_without_text_or_label_are_left_out_if_asked_and_listed(tmp_path):
    table = read_table(write(tmp_path, "a.csv", EMPTY), "text", "label", skip_empty=True)
    assert table.texts == ["a", "c"]
    assert table.empty == [3, 4, 5]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "x", "can't tell the format from the suffix '.txt'; expected one of .csv,"),
        ("a.csv", "", "is empty"),
        ("a.csv", "text,label\n", "no row has both"),
        (
            "a.csv",
            "txt,label\na,x\n",
            "no column 'text' in line 1; there are 'txt', 'label'. Did you mean 'txt'?",
        ),
        ("a.csv", "text,text,label\na,b,x\n", "line 1 names 'text' more than once"),
        ("a.csv", "text,label\na,x\nb,c,x\n", "line 3 has 3 values, the header 2; put double"),
        ("a.csv", "text,label\na\n", "line 2 has 1 value, the header 2"),
        ("a.csv", 'text,label\na,x\n"b,x\nc,x\n', "row that begins at line 3 can't be read"),
        ("a.tsv", 'text\tlabel\n"好" 贵\tx\n', "row that begins at line 2 can't be read"),
        ("a.jsonl", '{"text": "a", "label": "x"}\n{"text": \n', "line 2 is not JSON"),
        ("a.jsonl", '["a", "x"]\n', "line 1 holds list instead of an object"),
        ("a.jsonl", '{"text": "a"}\n', "no column 'label' in line 1; there are 'text'"),
        ("a.jsonl", '{"text": 5, "label": "x"}\n', "'text' in line 1 is 5; expected a string."),
        ("a.jsonl", '{"text": "a", "label": 0.5}\n', "'label' in line 1 is 0.5; expected a str"),
        ("a.jsonl", '{"text": "a\\ud800", "label": "x"}\n', "line 1 contains half of a surrogate"),
        ("a.jsonl", "[" * 100_000, "line 1 is not JSON"),
    ],
)
def test_errors_say_what_and_where(tmp_path, name, content, message):
    path = write(tmp_path, name, content)
    with pytest.raises(TaskError) as error:
        read_table(path, "text", "label")
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_a_wrong_encoding_is_named_with_its_lines_and_the_remedy(tmp_path):
    rows = ["text,label", "good,x", "很好,x", "不好,y"]
    path = write(tmp_path, "a.csv", "\n".join(rows).encode("gb18030"))
    with pytest.raises(TaskError) as error:
        read_table(path, "text", "label")
    assert str(error.value) == (
        f"{path}: 2 lines are not UTF-8 (lines 3, 4); convert the file with "
        "`iconv -f GB18030 -t UTF-8 a.csv > utf8.csv`."
    )


def test_missing_files_folders_and_one_column_for_both(tmp_path):
    with pytest.raises(TaskError, match="there is no such file"):
        read_table(tmp_path / "none.csv", "text", "label")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(TaskError, match="is a folder"):
        read_table(tmp_path / "folder.csv", "text", "label")
    with pytest.raises(TaskError, match="name two columns"):
        read_table(tmp_path / "none.csv", "text", "text")
