"""Tables of texts and labels: every row arrives or is accounted for."""

import gzip
import io
import json
import os
import sys
import threading

import pyarrow
import pytest
from pyarrow import parquet

from elman.tasks import TaskError
from elman.tasks.data import read_table

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
    if suffix == ".parquet":
        columns = dict(zip(("text", "label"), map(list, zip(*CHINESE, strict=True)), strict=True))
        parquet.write_table(pyarrow.table(columns), folder / "reviews.parquet")
        return folder / "reviews.parquet"
    separator = {".csv": ",", ".tsv": "\t"}[suffix]
    rows = [separator.join(("id", "text", "label"))]
    rows += [separator.join(("1", quoted(t), quoted(s))) for t, s in CHINESE]
    return write(folder, f"reviews{suffix}", "\r\n".join(rows) + "\r\n")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_formats(tmp_path, suffix):
    table = read_table(table_of(tmp_path, suffix), "text", "label")
    assert list(zip(table.texts, table.labels, strict=True)) == CHINESE
    first = 2 if suffix in (".csv", ".tsv") else 1
    assert table.lines.tolist() == [first, first + 1, first + 2]
    assert len(table.notes) == (1 if first == 2 else 0)  # a row over several lines


def test_a_row_over_several_lines_is_noted_and_the_next_one_counted_right(tmp_path):
    path = write(tmp_path, "a.csv", 'text,label\n"one\ntwo",x\nthree,y\n')
    table = read_table(path, "text", "label")
    assert list(table.texts) == ["one\ntwo", "three"]
    assert table.lines.tolist() == [2, 4]
    assert table.notes == ["1 row over several lines (line 2)"]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path, name):
    content = {"a.csv": "text,label\nhello,x\n", "a.jsonl": '{"text": "hello", "label": "x"}\n'}
    path = write(tmp_path, name, b"\xef\xbb\xbf" + content[name].encode())
    assert list(read_table(path, "text", "label").texts) == ["hello"]


def test_blank_lines_are_no_rows_and_spaces_around_values_dont_count(tmp_path):
    path = write(tmp_path, "a.csv", "text, label\n\n  hello , x \n\n")
    table = read_table(path, "text", "label")
    assert (list(table.texts), list(table.labels), list(table.lines)) == (["hello"], ["x"], [3])


def test_a_very_long_text_is_no_error(tmp_path):
    path = write(tmp_path, "a.csv", f"text,label\n{'长' * 200_000},x\n")
    assert len(read_table(path, "text", "label").texts[0]) == 200_000


def test_labels_of_json_may_be_whole_numbers_and_booleans(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"t": "a", "s": 1}\n{"t": "b", "s": true}\n')
    assert read_table(path, "t", "s").labels.tolist() == ["1", "true"]


def error_of(path, **options):
    with pytest.raises(TaskError) as error:
        read_table(path, "text", "label", **options)
    return str(error.value)


BAD_CSV = b"""text,label
good,x
,x
too,many,values
b,
Caf\xe9,x
few
"no quote" after,x
  ,y
also good,y
"the last,x
y,z
"""
BAD_CSV_SAYS = """\
8 of 11 rows can't be used:
  2 rows: no 'text' (lines 3, 9)
  2 rows: not as many values as the header's 2 (lines 4, 7); the first: it has 3; put double \
quotes around a value with a comma or a line break in it
  1 row: no 'label' (line 5)
  1 row: not UTF-8 (line 6)
  2 rows: double quotes that don't match (lines 8, 11); the first: ',' expected after '"'; quotes \
must close, and a double quote inside is written twice
Convert the file with `iconv -f WINDOWS-1252 -t UTF-8 a.csv > utf8.csv`, if this is right: \
'Café,x'; or correct them, or leave them out with --skip-bad."""
BAD_JSON = b"""{"text": "good", "label": "x", "more": "Caf\xe9"}
{"text":
["a", "x"]
{"text": "a"}
{"text": 5, "label": "x"}
{"text": "a", "label": 0.5}
{"text": "a\\ud800", "label": "x"}
{"text": "Caf\xe9", "label": "x"}
{"text": "", "label": 3}

{"text": "also good", "label": "y"}
"""
BAD_JSON_SAYS = """\
8 of 10 rows can't be used:
  1 row: not JSON (line 2): Expecting value at character 1
  1 row: no JSON object (line 3): list, expected {"text": ..., "label": ...}
  1 row: no 'label' (line 4)
  1 row: 'text' is not a string (line 5): 5
  1 row: 'label' is neither a string nor a whole number (line 6): 0.5; --regression learns numbers
  1 row: half of a surrogate pair (line 7)
  1 row: not UTF-8 (line 8)
  1 row: no 'text' (line 9)
Convert the file with `iconv -f WINDOWS-1252 -t UTF-8 a.jsonl > utf8.jsonl`, if this is right: \
'ore": "Café"}'; or correct them, or leave them out with --skip-bad."""


@pytest.mark.parametrize(
    ("name", "content", "says", "lines"),
    [("a.csv", BAD_CSV, BAD_CSV_SAYS, [2, 10, 12]), ("a.jsonl", BAD_JSON, BAD_JSON_SAYS, [1, 11])],
)
def test_every_bad_row_is_counted_with_its_line_and_left_out_if_asked(
    tmp_path, name, content, says, lines
):
    path = write(tmp_path, name, content)
    assert error_of(path) == f"{path}: {says}"
    table = read_table(path, "text", "label", skip_bad=True)
    assert list(table.texts) == ["good", "also good", "y"][: len(lines)]
    assert table.lines.tolist() == lines
    listed = says.replace(" used:", " used and are left out:").rpartition("\n")[0]
    assert table.notes == [listed]


def test_only_the_first_places_are_named(tmp_path):
    path = write(tmp_path, "a.csv", "text,label\na,x\n" + ",x\n" * 1000)
    assert "1,000 rows: no 'text' (lines 3, 4, 5, 6, 7 and 995 more)" in error_of(path)


def test_after_a_quote_that_never_closes_the_next_lines_are_read(tmp_path):
    rows = "".join(f"text {number},x\n" for number in range(5000))
    path = write(tmp_path, "a.csv", f'text,label\n"open,x\n{rows}')
    table = read_table(path, "text", "label", skip_bad=True)
    assert (len(table.texts), table.lines[0]) == (5000, 3)
    assert (
        "1 row: double quotes that don't match (line 2): unexpected end of data" in table.notes[0]
    )


def test_parquet_rows_have_numbers_and_types(tmp_path):
    path = tmp_path / "a.parquet"
    columns = {"text": ["a", None, " ", "b"] * 3000, "label": [1, 2, 3, None] * 3000}
    parquet.write_table(pyarrow.table(columns), path)
    assert error_of(path) == (
        f"{path}: 9,000 of 12,000 rows can't be used:\n"
        "  6,000 rows: no 'text' (rows 2, 3, 6, 7, 10 and 5995 more)\n"
        "  3,000 rows: no 'label' (rows 4, 8, 12, 16, 20 and 2995 more)\n"
        "Correct them, or leave them out with --skip-bad."
    )
    table = read_table(path, "text", "label", skip_bad=True)
    assert table.lines.tolist() == list(range(1, 12000, 4))
    assert set(table.labels) == {"1"}
    parquet.write_table(pyarrow.table({"text": [b"a"], "label": [0.5]}), path)
    assert "1 row: 'text' is not a string (row 1): b'a'" in error_of(path)


def test_parquet_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert error_of(tmp_path / "a.parquet").endswith("there is no such file.")
    (tmp_path / "a.parquet").touch()
    message = error_of(tmp_path / "a.parquet")
    assert message.endswith(
        'reading Parquet needs the package pyarrow: pip install "elman[parquet]"'
    )


def folder_of(tmp_path, files):
    for name, content in files.items():
        (tmp_path / "texts" / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / "texts", name, content)
    return tmp_path / "texts"


def test_a_folder_of_texts(tmp_path):
    packed = gzip.compress("很好\n".encode())
    files = {"pos/b.txt.gz": packed, "pos/a.txt": b"\xef\xbb\xbfgood\nindeed", "neg/1.TXT": "bad"}
    path = folder_of(tmp_path, {**files, "README": "", "neg/deep/2.txt": "bad"})
    table = read_table(path)
    assert list(table.texts) == ["bad", "good\nindeed", "很好"]
    assert table.labels.tolist() == ["neg", "pos", "pos"]
    assert table.where([0, 2]) == "files neg/1.TXT, pos/b.txt.gz"
    assert table.notes == ["2 not read, being no LABEL/NAME.txt: entries README, neg/deep"]
    with pytest.raises(TaskError, match="has no columns; leave out their names"):
        read_table(path, "text")


def test_bad_files_of_a_folder_are_named(tmp_path):
    path = folder_of(tmp_path, {"a/1.txt": "x", "a/2.txt": b"\xff", "b/3.txt": "\n"})
    with pytest.raises(TaskError) as error:
        read_table(path)
    assert str(error.value) == (
        f"{path}: 2 of 3 files can't be used:\n  1 file: not UTF-8 (file a/2.txt)\n"
        "  1 file: no 'text' (file b/3.txt)\nCorrect them, or leave them out with --skip-bad."
    )
    assert list(read_table(path, skip_bad=True).texts) == ["x"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "x", "can't tell the format from the suffix '.txt'; expected .csv,"),
        ("a.csv", "", "is empty"),
        ("a.csv", "text,label\n", "no row has both 'text' and 'label'"),
        ("a.jsonl", "\n", "no row has both 'text' and 'label'"),
        (
            "a.csv",
            "txt,label\na,x\n",
            "no column 'text' in line 1; there are 'txt', 'label'. Did you mean 'txt'?",
        ),
        ("a.csv", "text,text,label\na,b,x\n", "line 1 names 'text' more than once"),
        ("a.csv", '"text,label\n', "line 1, the header, can't be read: double quotes that don't"),
        ("a.csv", "text,label\ra,x\r", "line 1, the header, can't be read: a carriage return ins"),
        ("a.csv", "text,标签\n".encode("gb18030"), "line 1, the header, is not UTF-8; convert"),
        ("a.csv", b"\xff\xfet\0\0\xd8\n\0", "begins as UTF-16, but isn't ('utf-16-le' codec"),
        (
            "a.csv",
            gzip.compress(b"text,label\n" * 99, mtime=0)[:-9],
            "can't be read (Compressed file ended",
        ),
        ("a.csv", "text,label\na\rb,x\n", "1 row: a carriage return inside a value (line 2): put"),
        ("a.jsonl", '{"text": "a"}\n', "no column 'label' in line 1; there are 'text'"),
        ("a.jsonl", "[" * 100_000, "1 row: JSON within JSON, too deep (line 1)"),
        ("a.jsonl", "9" * 10_000, "1 row: a whole number of too many digits (line 1)"),
        ("a.parquet", "text", "can't be read as Parquet"),
    ],
)
def test_errors_say_what_and_where(tmp_path, name, content, message):
    path = write(tmp_path, name, content)
    error = error_of(path)
    assert error.startswith(f"{path}: ")
    assert message in error


def test_a_wrong_encoding_is_named_with_its_lines_and_the_remedy(tmp_path):
    rows = ["text,label", "good,x", "很好,x", "不好,y"]
    path = write(tmp_path, "a.csv", "\n".join(rows).encode("gb18030"))
    assert error_of(path) == (
        f"{path}: 2 of 3 rows can't be used:\n  2 rows: not UTF-8 (lines 3, 4)\n"
        "Convert the file with `iconv -f GB18030 -t UTF-8 a.csv > utf8.csv`, if this is right: "
        "'很好,x'; or correct them, or leave them out with --skip-bad."
    )
    # Two encodings in one file: iconv would be no remedy.
    path.write_bytes(path.read_bytes() + "\n还好,y".encode())
    assert "iconv" not in error_of(path)


WESTERN = "text,label\nit\u2019s good,yes\na na\u00efve plot,no\n"


@pytest.mark.parametrize(
    ("text", "codec", "expected"),
    [
        (
            WESTERN,
            "cp1252",
            "`iconv -f WINDOWS-1252 -t UTF-8 a.csv > utf8.csv`, if this is right: ",
        ),
        (
            "text,label\nDie Tür ist größer,x\n",
            "cp1252",
            "if this is right: 'Die Tür ist größer,x'",
        ),
        ("text,label\n空调是坏的\uff0c等了两个小时才入住,x\n", "gb18030", "iconv -f GB18030"),
        ("text,label\nОчень хорошо,x\n", "cp1251", ""),  # noqa: RUF001
        ("text,label\nとても良い本です,x\n", "cp932", ""),
    ],
    ids=["apostrophe", "umlauts", "Chinese", "Russian", "Japanese"],
)
def test_a_guess_is_made_where_it_is_likely(tmp_path, text, codec, expected):
    error = error_of(write(tmp_path, "a.csv", text.encode(codec)))
    assert expected in error
    assert ("iconv" in error) == bool(expected)


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
@pytest.mark.parametrize(
    "codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-le"]
)
def test_files_that_say_what_they_are(tmp_path, name, codec):
    content = 'text,label\n"很\n好",x\nit\u2019s,y\n'.encode(codec)
    path = write(
        tmp_path, name, gzip.compress(content, mtime=0) if name.endswith("gz") else content
    )
    table = read_table(path, "text", "label")
    assert list(table.texts) == ["很\n好", "it\u2019s"]
    assert table.lines.tolist() == [2, 4]


def test_compressed_json_and_its_wrong_encoding(tmp_path):
    rows = ['{"text": "很好", "label": "x"}', '{"text": "很坏", "label": "y"}']
    path = write(tmp_path, "a.jsonl.gz", gzip.compress("\n".join(rows).encode()))
    assert list(read_table(path, "text", "label").texts) == ["很好", "很坏"]
    path.write_bytes(gzip.compress("\n".join(rows).encode("gb18030")))
    assert "`iconv -f GB18030 -t UTF-8 <(gzip -dc a.jsonl.gz) > utf8.jsonl`" in error_of(path)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_what_separates_values_is_seen_in_the_header(tmp_path, name, separator):
    others = {",", ";", "\t"} - {separator}
    rows = [["text", "label"], [f'"a{separator}b"', "x"], ["".join(sorted(others)) + "c", "y"]]
    path = write(tmp_path, name, "\n".join(separator.join(row) for row in rows))
    assert list(read_table(path, "text", "label").texts) == [f"a{separator}b", rows[2][0].strip()]


def test_the_standard_input(monkeypatch):
    stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"text;label\na;x\nb;y\n")))
    monkeypatch.setattr(sys, "stdin", stream)
    assert list(read_table("-", "text", "label").texts) == ["a", "b"]


def test_missing_files_and_columns_not_named(tmp_path):
    for name in ("none.csv", "none.jsonl", "none.parquet"):
        assert "there is no such file" in error_of(tmp_path / name)
    with pytest.raises(TaskError, match="name two columns"):
        read_table(tmp_path / "none.csv", "text", "text")
    for name, content in {"a.csv": "text;kind\n", "a.jsonl": '\n{"text": "", "kind": 1}\n'}.items():
        path = write(tmp_path, name, content)
        with pytest.raises(TaskError, match=r"--text and --label\. There are 'text', 'kind'\.$"):
            read_table(path, "text")
    for name in ("a.csv", "a.jsonl"):
        with pytest.raises(TaskError, match=f"{name}: is empty; expected a header line and rows"):
            read_table(write(tmp_path, name, ""))


def test_labels_never_seen_are_named_with_their_lines(tmp_path):
    path = write(tmp_path, "a.csv", "text,label\na,x\nb,y\nc,z\nd,y\n")
    table = read_table(path, "text", "label")
    table.check_labels(["x", "y", "z"], path)
    with pytest.raises(TaskError) as error:
        table.check_labels(["x", "q"], path)
    assert str(error.value) == (
        f"{path}: 2 labels never seen in training: 'y' (lines 3, 5), 'z' (line 4); "
        "expected one of 'q', 'x'. Correct them, or leave those rows out."
    )


def test_a_pipe_is_read_to_its_end(tmp_path):
    path = tmp_path / "a.csv"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=[b"text,label\na,x\n"])
    writer.start()
    assert list(read_table(path, "text", "label").texts) == ["a"]
    writer.join()
