"""The reference names all that is public, once, and says of it what a caller needs to know.

Docstrings are read by their structure: sections of arguments, results and errors, a source where
there is a formula, an example. What is as in another docstring is said there: "those of".
"""

import ast
import importlib
import inspect
import re
import textwrap
from types import ModuleType

import pytest
import torch

from elman.cells import CATALOGUE
from tests.pages import DOCS, text

#: Packages that are public, and what is public there besides what elman itself has.
MODULES = ("elman", "elman.cells", "elman.init", "elman.tasks", "elman.exchange", "elman.nn")
MODULES += ("elman.streaming", "elman.libraries")
#: Libraries that these are made of need not be there: only that they are named is tested.
CALLBACKS = ("elman.callbacks.lightning.AccelerateLightning",)
CALLBACKS += ("elman.callbacks.skorch.AccelerateSkorch",)
#: Parameters that need no words.
PLAIN = {"self", "cls"}
#: What says nothing of an argument, or raises none, and why.
EXCEPTIONS = {
    ("elman.cells.Antisymmetric", "args"): "torch.nn.Module's, which it does not read",
    ("elman.cells.Antisymmetric", "kwargs"): "torch.nn.Module's, which it does not read",
}
#: Functions that are told in a docstring of another section than Returns.
YIELDS = ("Iterator", "Generator", "AbstractContextManager")


def public(module: ModuleType) -> dict[str, object]:
    """The classes and functions of a package, with those that it loads when they are asked for."""
    names = getattr(module, "__all__", None)
    if names is None:
        tree = ast.parse(inspect.getsource(module))
        imports = [it for it in ast.walk(tree) if isinstance(it, ast.ImportFrom) and it.level]
        names = {alias.asname for it in imports for alias in it.names if alias.asname}
        names |= {alias.name for it in imports for alias in it.names if alias.name == "export"}
        names |= {it.name for it in tree.body if isinstance(it, ast.FunctionDef)}
    found = {name: getattr(module, name) for name in names if not name.startswith("_")}
    return {name: it for name, it in found.items() if inspect.isroutine(it) or inspect.isclass(it)}


def everything() -> dict[str, object]:
    """All that is public, each by the first of the names that it has."""
    found: dict[str, object] = {}
    for module in MODULES:
        for name, value in sorted(public(importlib.import_module(module)).items()):
            if not any(value is known for known in found.values()):
                found[f"{module}.{name}"] = value
    return found


PUBLIC = everything()


def entries() -> list[str]:
    """What the pages of the reference name."""
    pages = sorted((DOCS / "reference").glob("*.md"))
    return [entry for page in pages for entry in re.findall(r"^::: (\S+)$", text(page), re.M)]


def resolved(entry: str) -> object:
    """What an entry names: the page must find the same in the source."""
    module, _, name = entry.rpartition(".")
    return getattr(importlib.import_module(module), name)


def misnamed(names: list[str], expected: dict[str, object]) -> list[str]:
    """What is wrong with entries: something is missing, stands twice, or under another name."""
    found = [f"{name} stands twice" for name in {*names} if names.count(name) > 1]
    values = {name: resolved(name) for name in names if name not in CALLBACKS}
    for name, value in expected.items():
        mine = [it for it, other in values.items() if other is value]
        home = f"{value.__module__}.{value.__name__}"  # type: ignore[attr-defined]
        hidden = home.rpartition(".")[0].endswith(f".{name.rpartition('.')[2]}")
        accepted = {name, home} if hidden or name == "elman.export" else {name}
        if len(mine) != 1 or mine[0] not in accepted:
            found.append(f"{name} is named {mine}")
    strangers = [
        it for it, value in values.items() if not any(value is o for o in expected.values())
    ]
    return found + [f"{name} is not public" for name in strangers]


def test_the_reference_is_complete() -> None:
    assert len(PUBLIC) > 120
    assert misnamed(entries(), PUBLIC) == []
    assert {*CALLBACKS} <= {*entries()}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda names: names[1:], "is named []"),
        (lambda names: [*names, names[0]], "stands twice"),
        (lambda names: [*names, "elman.expr.Node"], "elman.expr.Node is not public"),
        (
            lambda names: [it.replace("elman.tanh", "elman.functions.tanh") for it in names],
            "elman.tanh is named ['elman.functions.tanh']",
        ),
    ],
)
def test_a_wrong_reference_is_found(change: object, fault: str) -> None:
    wrong = misnamed(change(entries()), PUBLIC)  # type: ignore[operator]
    assert len(wrong) == 1
    assert fault in wrong[0]


def section(doc: str, title: str) -> dict[str, str]:
    """What a section says, by names."""
    found = re.search(rf"^{title}:\n((?:    .*\n|\n(?=    ))+)", f"{doc}\n", re.M)
    told: dict[str, str] = {}
    for names, said in re.findall(
        r"^    (\S[^:\n]*):((?:.*\n(?:     .*\n)*))", found[1] if found else "", re.M
    ):
        told |= {name.strip().lstrip("*"): said.strip() for name in names.split(",")}
    return told


def documentation(value: object) -> list[str]:
    """The docstring, and those that it refers to: "the arguments are those of ..."."""
    found, seen = [inspect.getdoc(value) or ""], {id(value)}
    for doc in found:
        for name in re.findall(r"(?:those|as)\s+of\s+(?:the\s+)?(?::\w+:)?`~?([\w.]+)`", doc):
            other = next(
                (v for n, v in PUBLIC.items() if n == name or n.endswith(f".{name}")), None
            )
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                found.append(inspect.getdoc(other) or "")
    return found


def told(value: object, title: str) -> dict[str, str]:
    """What a section says here or where the docstring refers to."""
    docs = documentation(value)
    return {name: said for doc in reversed(docs) for name, said in section(doc, title).items()}


def parameters(value: object) -> list[str]:
    """What a caller may give."""
    try:
        given = inspect.signature(value)  # type: ignore[arg-type]
    except ValueError:  # an exception
        return []
    return [name for name in given.parameters if name not in PLAIN]


def raised(value: object) -> set[str]:
    """The exceptions that the body of a function or of a class's `__init__` raises by name."""
    function = vars(value).get("__init__") if inspect.isclass(value) else inspect.unwrap(value)  # type: ignore[arg-type]
    if not inspect.isfunction(function) or function.__code__.co_filename == "<string>":
        return set()  # or a dataclass's own
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    nodes = [it.exc for it in ast.walk(tree) if isinstance(it, ast.Raise) and it.exc]
    names = [it.func if isinstance(it, ast.Call) else it for it in nodes]
    return {it.id for it in names if isinstance(it, ast.Name) and it.id.endswith("Error")}


def missing(name: str, value: object) -> list[str]:
    """Which parts a docstring lacks."""
    doc, found = inspect.getdoc(value) or "", list[str]()
    if not inspect.isclass(value) or not issubclass(value, Exception):
        arguments = told(value, "Args")
        wanted = [it for it in parameters(value) if (name, it) not in EXCEPTIONS]
        found += [f"argument {it}" for it in wanted if not arguments.get(it)]
    errors = told(value, "Raises")
    found += [f"error {it}" for it in raised(value) if not errors.get(it)]
    if inspect.isfunction(value):
        result = str(inspect.signature(value).return_annotation)
        titles = ("Yields",) if name == "elman.windows" else ("Returns",)
        silent = result in ("None", "<class 'inspect._empty'>") or result.startswith(
            "Iterator[None]"
        )
        if not silent and not any(
            f"{title}:\n" in d for title in titles for d in documentation(value)
        ):
            found.append("result")
    if ">>> " not in doc:
        found.append("example")
    if inspect.isclass(value) and issubclass(value, torch.nn.Module):
        found += ["shapes"] * (re.search(r"\((?:T|B|H),", doc) is None)
    if value in CATALOGUE.values():
        found += [it for it in ("Source", "Use it for ") if it not in doc]
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings_have_all_parts(name: str) -> None:
    assert missing(name, PUBLIC[name]) == []


def wrong(first: int, second: int = 0) -> int:
    """Adds.

    Args:
        first: a number.
    """
    if second:
        raise ValueError(second)
    return first


def test_a_poor_docstring_is_found() -> None:
    assert missing("wrong", wrong) == ["argument second", "error ValueError", "result", "example"]


def test_every_exception_is_needed() -> None:
    assert all(argument in parameters(PUBLIC[name]) for name, argument in EXCEPTIONS)
