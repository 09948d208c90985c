import json
import re
from pathlib import Path

import pytest

from benchmarks import chinese
from benchmarks.page import DOCUMENTS, filled
from benchmarks.roofline import flops, roof
from benchmarks.run import FIGURES
from elman.bench.task import Task

ROOT = Path(__file__).parents[2]
MACHINE = {
    "gflops": 100.0,
    **dict(zip(("L1", "L2", "L3", "DRAM"), (200.0, 100.0, 50.0, 10.0), strict=True)),
    "caches": {"L1": 2**15, "L2": 2**20, "L3": 2**25},
}


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_the_documents_show_the_figures_that_are_kept(document):
    figures = json.loads((ROOT / FIGURES).read_text(encoding="utf-8"))
    text = (ROOT / document).read_text(encoding="utf-8")
    assert filled(text, figures) == text


PAIRS = [
    (english, page)
    for english, page in chinese.pages(ROOT / "docs")
    if "<!-- end -->" in english.read_text(encoding="utf-8")
]
# What a header in Chinese may contain in Latin letters.
NAMES = {"elman", "Stream", "torch", "nn", "compile", "autograd", "JAX", "ONNX", "Runtime"} | {
    *("OpenVINO", "T", "B", "I", "H", "bfloat", "float", "GFLOP", "GB", "MB", "s", "L", "DRAM"),
    *("avx", "sse", "C", "ffast", "math", "step", "chunk"),
}


@pytest.mark.parametrize(("english", "page"), PAIRS, ids=[page.name for _, page in PAIRS])
def test_the_chinese_pages_show_the_same_tables(english, page):
    source, text = (it.read_text(encoding="utf-8") for it in (english, page))
    names = [[name for name, _, _ in chinese.REGION.findall(it)] for it in (source, text)]
    assert names[0] == names[1]
    assert chinese.mirrored(text, source) == text


def test_tables_are_translated_as_whole_words():
    header = "| workload | layer | mode | elman | speedup over torch.nn, bfloat16 |"
    row = "| rl-train, training | Peephole two ways | inference | 4 us (inside, 1) | 2 (1.5 to 3) |"
    assert chinese.translated(f"{header}\n{row}").splitlines() == [
        "| 工作负载 | 层 | 模式 | elman | 相对 torch.nn, bfloat16 的加速比 |",
        "| rl-train，训练 | Peephole 双向 | 推理 | 4 us (循环内，1) | 2 (1.5–3) |",
    ]


@pytest.mark.parametrize("page", [page for _, page in PAIRS], ids=lambda page: page.name)
def test_headers_of_tables_are_translated(page):
    regions = [shown for _, _, shown in chinese.REGION.findall(page.read_text(encoding="utf-8"))]
    headers = re.findall(r"^(\|.*\|)\n\| ---", "\n".join(regions), re.M)
    assert set(re.findall("[A-Za-z]+", "".join(headers))) - NAMES == set()


def test_every_word_is_needed():
    regions = "".join(
        region
        for english, _ in PAIRS
        for _, _, region in chinese.REGION.findall(english.read_text(encoding="utf-8"))
    )
    spare = [word for word in chinese.WORDS if not re.search(word, regions)]
    assert set(spare) <= {"Left out, and why:"}  # spare if every contestant ran


def test_what_another_command_printed_stays():
    text = "<!-- printed parts -->\n\n| 1 |\n\n<!-- end -->\n<!-- means -->\n<!-- end -->"
    assert filled(text, {}) == text.replace("means -->\n", "means -->\n\nNot measured.\n\n")


def times(*us):
    return {"us": list(us), "form": "", "failure": ""}


def test_a_row_becomes_lines_of_the_documents():
    task = Task("LSTM", 10, 4, 8, 16)
    row = {
        **task._asdict(),
        "times": {
            "torch.nn": times(200.0, 210.0),
            "elman": times(100.0, 100.0),
            "elman.Stream": times(75.0, 75.0),
            "torch.compile": times(180.0, 180.0),
            "JAX": times(150.0, 150.0),
            "OpenVINO": {"us": [], "form": "", "failure": "its process ended"},
        },
    }
    figures = {"layers": {"mine, inference, 1": row}, "roofline": {"1": MACHINE}}
    marks = [f"<!-- {mark} -->\n<!-- end -->" for mark in ("layers", "means", "latency")]
    text = filled(" ".join(marks), figures)
    assert "| mine | LSTM | 10, 4, 8, 16 | inference | 100 us |" in text
    # torch.compile would be slower than the session, but it reads its weights anew.
    best = "torch.compile 180 us | 1.80 (1.80 to 1.80)"
    assert f"| 205 us | 2.05 (2.00 to 2.10) | 75 us | {best} |" in text
    assert "| mine, inference | 2.05 (2.00 to 2.10) | 1.80 (1.80 to 1.80) |  | 2.00 (" in text
    assert "| 1 | inference | 2.05 (2.05 to 2.05) | 1.80 (1.80 to 1.80) | none |" in text
    assert "- mine, inference, 1: OpenVINO: its process ended" in text
    assert text.endswith("<!-- latency -->\n\nNot measured.\n\n<!-- end -->")
    assert filled(text, figures) == text


def test_the_summary_says_where_another_is_faster():
    def row(name, jax):
        task = Task("RNN", 10, 4, 8, 16, mode="training")
        of = {"torch.nn": times(400.0, 400.0), "elman": times(100.0, 100.0)}
        return {f"{name}, training, 1": {**task._asdict(), "times": of | {"JAX": times(jax, jax)}}}

    figures = {"layers": {**row("small", 50.0), **row("large", 200.0), **row("wide", 800.0)}}
    text = filled("<!-- means -->\n<!-- end -->", figures)
    # The fastest other is torch.nn for the widest. 0.5, 2 and 4 have a mean of 4 ** (1 / 3).
    behind = "small (JAX: 0.50); 2.83 without"
    assert f"| 1 | training | 4.00 (4.00 to 4.00) | 1.59 (0.50 to 4.00) | {behind} |  |" in text
    assert "Not measured." in filled("<!-- means -->\n<!-- end -->", {})


def test_the_roof_is_arithmetic_or_reading():
    # 2 T B G H (I + H), and backward twice as many but for the first layer's input.
    task = Task("GRU", 7, 5, 3, 4, 2, True)
    forward = 2 * 7 * 5 * 3 * 4 * 2 * ((3 + 4) + (8 + 4))
    assert flops(task) == forward
    assert flops(task._replace(mode="training")) == 3 * forward - 2 * 7 * 5 * 3 * 4 * 2 * 3
    us, what = roof(Task("RNN", 100, 64, 512, 512), MACHINE)
    assert (what, us) == ("FMA", pytest.approx(2 * 100 * 64 * 512 * 1024 / 100e3))
    # One row: 4 bytes of each weight at 100 GB/s.
    us, what = roof(Task("RNN", 100, 1, 128, 256), MACHINE)
    assert (what, us) == ("L2", pytest.approx(4 * 256 * (100 * 256 + 128) / 100e3))
