"""The tables of the English pages, in Chinese.

What is between ``<!-- NAME -->`` and ``<!-- end -->`` on an English page is repeated between the
same marks on its Chinese page. Numbers and names stay; `WORDS` translates the rest.
"""

from __future__ import annotations

import re
from pathlib import Path

CHINESE = ".zh-CN.md"
# Of a region: its name, the rest of its mark, and what is shown.
REGION = re.compile(r"(?<=<!-- )(?!end )([\w ]+)( -->\n)(.*?)(?=<!-- end -->)", re.S)
# Patterns with what replaces them, in this order. Each begins and ends at the edge of a word.
WORDS = {
    # headings and sentences
    r"### (\d+) threads?": r"### \1 个线程",
    r"The time of each contestant divided by elman's:": "各参赛者的用时除以 elman 的用时：",
    r"Left out, and why:": "未列入的，以及原因：",
    # the machine
    r"- processor: ": "- 处理器：",
    r"- cores: ": "- 核数：",
    r"- isa: ": "- 指令集：",
    r"- system: ": "- 系统：",
    r"- commit: ": "- 提交：",
    r"- commit of the section (\w+): ": r"- \1 一节的提交：",
    r"- allocator: kept": "- 内存分配器：保留释放的内存",
    # headers
    r"over torch\.nn with every batch at its roof": "若各批次都达到上限，相对 torch.nn",
    r"speedup over ([^|]+)(?= \|)": r"相对 \1 的加速比",
    r"over the fastest other": "相对最快的其他系统",
    r"over the loop": "相对循环",
    r"over torch\.nn": "相对 torch.nn",
    r"slower than it at": "何处比它慢",
    r"time / built-in's": "用时 / 自带单元的用时",
    r"one layer of": "哪一层",
    r"one layer": "一层",
    r"once in a process": "每个进程一次",
    r"back to the states": "反向到状态",
    r"weights' gradients": "权重的梯度",
    r"with autograd on": "打开 autograd",
    r"share of roof": "占上限的比例",
    r"fastest other": "最快的其他系统",
    r"training step": "训练一步",
    r"multiply-adds": "乘加",
    r"T, B, I, H": "T、B、I、H",
    r"contestant": "参赛者",
    r"workload": "工作负载",
    r"artefact, step": "产物，单步",
    r"artefact, chunk": "产物，分段",
    r"C, -ffast-math": "C，-ffast-math",
    r"C\+\+ templates": "C++ 模板",
    r", 3 layers": "，3 层",
    r"threads": "线程",
    r"seconds": "秒",
    r"speedup": "加速比",
    r"library": "库",
    r"layer": "层",
    r"model": "模型",
    r"mode": "模式",
    r"cell": "单元",
    # cells
    r"first call, (.*?), cold": r"首次调用，\1，无缓存",
    r"first call, (.*?), kernels on disk": r"首次调用，\1，内核在磁盘上",
    r"import elman": "导入 elman",
    r"load LLVM": "加载 LLVM",
    r"autograd alone": "只有 autograd",
    r"(torch\.nn|elman) alone": r"\1，独占",
    r", busy core": "，有核被占",
    r", slowdown": "，变慢几倍",
    r"training, forward": "训练的前向",
    r", inference(?= \|)": "，推理",
    r", training(?= \|)": "，训练",
    r"forward": "前向",
    r"inference": "推理",
    r"training": "训练",
    r"prediction": "预测",
    r"two ways": "双向",
    r"inside, (\d+)": r"循环内，\1",
    r"at once, (\d+)": r"一次算好，\1",
    r"none": "无",
    r"([\d.]+) without": r"除去后 \1",
    r"packed LSTM, of torch\.nn itself": "打包的 LSTM，torch.nn 自己的层",
    r"GRU with lengths": "带长度的 GRU",
    r"(\w+) with resets": r"\1，带重置",
    r"HighwayLSTM, recurrent dropout": "HighwayLSTM，循环 dropout",
    r"LSTM and GRU, subclasses": "LSTM 和 GRU 的子类",
    r"fit of a GRU": "GRU 的 fit",
    r"RNNModel (LSTM|GRU), fit": r"RNNModel \1 的 fit",
    r"RecurrentPPO, learn": "RecurrentPPO 的 learn",
    r"\(([\d.]+) to ([\d.]+)\)": r"(\1–\2)",
}


def translated(region: str) -> str:
    """Tables, lists and headings of a region, in Chinese."""
    for english, chinese in WORDS.items():
        begins = r"(?<![\w.-])" if english[0].isalnum() else ""
        ends = "" if english.endswith(" ") else r"(?!-?\w)"
        region = re.sub(f"{begins}(?:{english}){ends}", chinese, region)
    return region


def mirrored(chinese: str, english: str) -> str:
    """The Chinese page with the tables of the English one."""
    regions = {name: region for name, _, region in REGION.findall(english)}
    return REGION.sub(lambda mark: mark[1] + mark[2] + translated(regions[mark[1]]), chinese)


def pages(docs: Path) -> list[tuple[Path, Path]]:
    """Every English page of a folder that has a Chinese one, and that one."""
    found = sorted(docs.rglob(f"*{CHINESE}"))
    return [(page.with_name(page.name.replace(CHINESE, ".md")), page) for page in found]
