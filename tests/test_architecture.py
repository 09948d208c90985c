"""The shape of the package: who may import whom, what `import elman` costs, how long files get, and
whether the pages about it are true."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "elman"
PAGES = [ROOT / "docs" / name for name in ("architecture.md", "architecture.zh-CN.md")]
LONGEST_FILE = 500

# From top to bottom. A room (a module or a package directly under elman) may import itself and any
# room in a row below its own; rooms in one row don't know each other. `__init__` is the public
# face: what stands above it uses elman as any user would.
ROWS = [
    ["__main__"],
    ["cli"],
    ["tasks"],
    ["bench", "callbacks"],
    ["__init__"],
    ["artefact", "exchange", "explain", "libraries", "loops", "streaming"],
    ["nn"],
    ["dispatch"],
    ["launch", "onnx_nodes"],
    ["reference", "compiler"],
    ["init", "runtime"],
    ["cells", "padded"],
    ["batch"],
    ["cell", "functions"],
    ["randoms", "step"],
    ["reductions"],
    ["expr"],
    ["refused"],
    ["attributes", "clipping", "errors", "pages", "rows", "spaces", "version"],
]
DEPTH = {room: depth for depth, row in enumerate(ROWS) for room in row}


def room_of(path: Path) -> str:
    """The room that a file, given relative to the package, belongs to."""
    return path.parts[0] if len(path.parts) > 1 else path.stem


def imported_rooms(source: str, path: Path) -> list[tuple[int, str]]:
    """(line, room) of every import of elman in a file, wherever in the code it stands."""
    package = ["elman", *path.parts[:-1]]
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # One leading dot is the file's own package, each further dot the parent of that.
            base = package[: len(package) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            # `from elman import x` names a room, or else something of the public face.
            targets = [[*base, alias.name] for alias in node.names]
            targets = [base if base == ["elman"] and t[1] not in DEPTH else t for t in targets]
        else:
            continue
        for root, *inside in targets:
            if root == "elman":
                found.append((node.lineno, inside[0] if inside else "__init__"))
    return found


def violations(source: str, path: Path) -> list[str]:
    """What a file imports although it stands higher, beside it, or nowhere in the table."""
    room = room_of(path)
    if room not in DEPTH:
        return [f"{path}: the room '{room}' is not in ROWS; decide where it stands"]
    wrong = []
    for line, target in imported_rooms(source, path):
        if target == room:
            continue
        if target not in DEPTH:
            wrong.append(f"{path}:{line}: imports '{target}', which is not in ROWS")
        elif DEPTH[target] <= DEPTH[room]:
            wrong.append(
                f"{path}:{line}: '{room}' may not import '{target}'; imports go downward only"
            )
    return wrong


SOURCES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_imports_go_downward(path):
    assert violations((PACKAGE / path).read_text(encoding="utf-8"), path) == []


def packages_imported(source: str) -> set[str]:
    """The packages that a file imports, but for those by relative names."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", [p for p in SOURCES if room_of(p) == "compiler"], ids=str)
def test_the_compiler_knows_no_tensors(path):
    assert "torch" not in packages_imported((PACKAGE / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "source", ["import torch", "import torch.nn as nn", "def f():\n    from torch import Tensor"]
)
def test_an_import_of_torch_is_caught(source):
    assert packages_imported(source) == {"torch"}


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_no_file_is_too_long(path):
    assert len((PACKAGE / path).read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("expr.py", "import elman.nn"),
        ("expr.py", "from elman.cell import Cell"),
        ("expr.py", "from elman import cell"),
        ("expr.py", "from elman import RNN"),
        ("expr.py", "import elman"),
        ("expr.py", "from . import cell"),
        ("expr.py", "from .cell import Cell"),
        ("compiler/jit.py", "from ..dispatch.layer import recur"),
        ("compiler/passes/fold.py", "from ...dispatch.layer import recur"),
        ("compiler/jit.py", "from elman.reference import run"),
        ("compiler/jit.py", "def f():\n    from elman.nn import RNN"),
        (
            "nn/rnn.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import elman.tasks",
        ),
        ("nn/rnn.py", "try:\n    import elman.cli\nexcept ImportError:\n    pass"),
        ("__init__.py", "from elman.tasks import fit"),
        ("attic.py", "import torch"),
        ("nn/rnn.py", "import elman.attic"),
    ],
)
def test_a_wrong_import_is_caught(path, source):
    assert len(violations(source, Path(path))) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("cell.py", "from elman import expr, errors"),
        ("cell.py", "from .expr import Value"),
        (
            "compiler/jit.py",
            "from . import graph\nfrom .graph import Node\nimport elman.runtime.threads",
        ),
        ("compiler/passes/fold.py", "from ..graph import Node\nfrom ...errors import ElmanError"),
        ("tasks/text.py", "import elman\nfrom elman import RNN, explain"),
        ("__init__.py", "from elman.nn import RNN\nfrom .cell import Cell"),
        ("errors.py", "import torch\nfrom elmanology import nn"),
    ],
)
def test_a_right_import_passes(path, source):
    assert violations(source, Path(path)) == []


def test_importing_elman_stays_light():
    """Nothing is compiled, and nothing optional loaded, before it is needed."""
    program = (
        "import sys, torch, numpy\n"
        "before = set(sys.modules)\n"
        "import elman\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    added = set(done.stdout.split())
    assert "elman" in added
    assert "llvmlite.binding" not in added
    assert "elman.artefact" not in added
    roots = {name.partition(".")[0] for name in added} - sys.stdlib_module_names
    assert roots <= {"elman", "llvmlite", "numpy", "torch"}


def table_of_rooms(text: str) -> list[set[str]]:
    """The rooms of a page's table, row by row; the public face has an explanation behind it."""
    block = next(b for b in re.findall(r"```text\n(.*?)```", text, re.S) if "__main__" in b)
    rows = re.sub(r" \(.*?\)", "", block).replace("elman", "__init__").splitlines()
    return [set(row.split()) for row in rows]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_the_pages_show_the_table_of_rooms(page):
    assert table_of_rooms(page.read_text(encoding="utf-8")) == [set(row) for row in ROWS]


def files_of_rooms(text: str) -> set[str]:
    """The files that the rooms' headings and tables list. In a cell of a table, the folder of the
    first file is that of all."""
    rooms = re.findall(r"^### [^`\n]+(`.*)\n((?:(?!##).*\n)*)", text, re.M)
    found = set(re.findall(r"`(\w+\.py)`", "\n".join(heading for heading, _ in rooms)))
    for cell in re.findall(r"^\| (`.*?`) \|", "".join(text for _, text in rooms), re.M):
        first, *others = re.findall(r"`([\w/]+\.py)`", cell)
        folder = first.rpartition("/")[0]
        found |= {first, *(f"{folder}/{name}".lstrip("/") for name in others)}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_page_lists_every_file(page):
    """A file is in the table of its room on the page about the architecture, with what it
    contains."""
    listed = files_of_rooms(page.read_text(encoding="utf-8"))
    there = {path.as_posix() for path in SOURCES if path.name != "__init__.py"}
    assert there - listed == set(), "the page lacks these files"
    assert listed - there == set(), "the page lists files that do not exist"


def links(page: Path) -> list[Path]:
    """The files that a page links to."""
    text = page.read_text(encoding="utf-8")
    return [page.parent / target for target in re.findall(r"\]\((?!\w+:)([^)#\s]+)", text)]


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/**/*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    assert [target for target in links(page) if not (target.exists() or drawn(target))] == []


def drawn(picture: Path) -> bool:
    """Whether the build of the site draws it: `docs/figures/order.py` all in `figures/order/`."""
    return picture.suffix == ".svg" and picture.parent.with_suffix(".py").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_decision_is_on_the_page(page):
    assert set((ROOT / "docs" / "decisions").glob("*.md")) <= set(links(page))
