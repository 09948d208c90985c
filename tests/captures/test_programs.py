"""Programs that were captured, saved, and run in a new process at other T and B."""

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.backends.registry import lookup_backend

from tests.captures.columns import COLUMNS, Column, assert_alike, each_column

pytestmark = pytest.mark.filterwarnings("ignore")  # of jit.trace, which warns of its age and shapes

CAPTURED, RUN = (4, 3), (7, 2)  # T and B
LOAD = {
    "strict": "torch.export.load(file).module()",
    "non-strict": "torch.export.load(file).module()",
    "jit-trace": "torch.jit.load(file)",
    "inductor": "torch._inductor.aoti_load_package(file)",
}
CHILD = """
import sys, torch, elman
for file, load, given in torch.load(sys.argv[1]):
    found = eval(load)(*given)
    torch.save(list(torch.utils._pytree.tree_leaves(found)), file + ".found")
"""


@functools.cache
def _export(column: Column, strict: bool) -> torch.export.ExportedProgram:
    return torch.export.export(
        column.program(torch.float32),
        column.data(*CAPTURED, dtype=torch.float32),
        dynamic_shapes=(column.dynamic(),),
        strict=strict,
    )


@functools.cache
def _trace(column: Column) -> torch.jit.ScriptModule:
    data = column.data(*CAPTURED, dtype=torch.float32)
    return torch.jit.trace(column.program(torch.float32), data)


class Everything(torch.nn.Module):
    """All columns in one program: a package takes the C++ compiler seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.programs = torch.nn.ModuleList(c.program(torch.float32) for c in COLUMNS)

    def forward(self, *data: Tensor) -> tuple[Tensor, ...]:
        results: list[Tensor] = []
        rest = list(data)
        for column, program in zip(COLUMNS, self.programs, strict=True):
            mine, rest = rest[: len(column.rows())], rest[len(column.rows()) :]
            results += program(*mine)
        return tuple(results)


def _all_data(T: int, B: int) -> tuple[Tensor, ...]:
    return tuple(t for c in COLUMNS for t in c.data(T, B, torch.float32))


def _save(how: str, column: Column | None, file: str) -> tuple[Tensor, ...]:
    """Captures and saves; returns what it is to be run on."""
    if column is None:
        dynamic = tuple(spec for c in COLUMNS for spec in c.dynamic())
        program = torch.export.export(
            Everything().eval(), _all_data(*CAPTURED), dynamic_shapes=(dynamic,)
        )
        torch._inductor.aoti_compile_and_package(program, package_path=file)
        return _all_data(*RUN)
    if how == "jit-trace":
        torch.jit.save(_trace(column), file)
    else:
        torch.export.save(_export(column, how == "strict"), file)
    return column.data(*RUN, dtype=torch.float32)


@pytest.fixture(scope="module")
def found(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> dict[tuple[str, str], Any]:
    """What a new process gives for every program; or why there is none."""
    folder = tmp_path_factory.mktemp("programs")
    jobs, results = [], dict[tuple[str, str], Any]()
    rows: list[tuple[str, Column | None]] = [(how, c) for how in list(LOAD)[:3] for c in COLUMNS]
    if pytestconfig.getoption("--every-case"):
        rows.append(("inductor", None))
    for how, column in rows:
        name = column.name if column else "all"
        file = str(folder / f"{how}-{name}.pt2")
        try:
            jobs.append((file, LOAD[how], _save(how, column, file)))
            results[how, name] = file + ".found"
        except Exception as error:  # noqa: BLE001 - shown by the test of it
            results[how, name] = error
    torch.save(jobs, folder / "jobs")
    command = [sys.executable, "-W", "ignore", "-c", CHILD, str(folder / "jobs")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {
        key: torch.load(value) if isinstance(value, str) and Path(value).exists() else value
        for key, value in results.items()
    } | {("child", "stderr"): done.stderr[-2000:]}


@each_column
@pytest.mark.parametrize("how", list(LOAD)[:3])
def test_saved_programs_give_the_same_bits_in_a_new_process(
    how: str, column: Column, found: dict[tuple[str, str], Any]
) -> None:
    have = found[how, column.name]
    assert isinstance(have, list), (have, found["child", "stderr"])
    program, data = column.program(torch.float32), column.data(*RUN, dtype=torch.float32)
    assert_alike(have, program(*data), exact=not (column.torchs and how == "jit-trace"))


def test_an_inductor_package_gives_the_same_bits_in_a_new_process(
    found: dict[tuple[str, str], Any],
) -> None:
    if ("inductor", "all") not in found:
        pytest.skip("the C++ compiler takes half a minute: pytest --every-case")
    have = found["inductor", "all"]
    assert isinstance(have, list), (have, found["child", "stderr"])
    assert_alike(have, Everything().eval()(*_all_data(*RUN)), exact=True)


@each_column
@pytest.mark.parametrize("how", ["strict", "non-strict", "jit-trace"])
def test_captured_programs_have_gradients(how: str, column: Column) -> None:
    program = column.program(torch.float32)
    if how == "jit-trace":
        captured = _trace(column)
    else:
        captured = _export(column, how == "strict").module()
    found = []
    for run in (program, captured):
        x, *more = column.data(*RUN, dtype=torch.float32)
        x.requires_grad_()
        results = run(x, *more)
        loss = torch.stack([r.pow(2).sum() for r in results]).sum()
        found.append([*results, *torch.autograd.grad(loss, [x, *run.parameters()])])
    assert_alike(found[1], found[0])


def test_arguments_of_operators_keep_their_names() -> None:
    """Saved programs hold them by name; those of earlier versions lack the last ones."""
    call = "formula", "narrow", "tensors", "present", "lengths"
    gradient = "kept", "gradients", "needed", "apart"
    for operator, first, later in (
        (torch.ops.elman.recur.default, (*call, "keep"), {"reset": None}),
        (torch.ops.elman.recur_backward.default, (*call, *gradient), {"reset": None}),
    ):
        arguments = operator._schema.arguments
        assert tuple(a.name for a in arguments[: len(first)]) == first
        assert {a.name: a.default_value for a in arguments[len(first) :]} == later


def test_a_program_with_lengths_refuses_those_beyond_its_input() -> None:
    (column,) = [c for c in COLUMNS if c.name == "lengths"]
    program = _export(column, strict=True).module()
    x, lengths = column.data(*RUN, dtype=torch.float32)
    with pytest.raises(ValueError, match="expected lengths between 0 and the 7 steps of input"):
        program(x, lengths + 5)


@each_column
def test_compiled_programs_are_one_graph_for_any_size(column: Column) -> None:
    """As dynamo captures it, and as AOTAutograd traces that: dynamo takes longest, and once."""
    torch._dynamo.reset()
    program, graphs, kinds = column.program(torch.float32), [], []

    def backend(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        graphs.append({"eager": graph.forward, "aot": lookup_backend("aot_eager")(graph, inputs)})

        def call(*tensors: Any) -> Any:
            return graphs[0][kinds[-1]](*tensors)

        return call

    compiled = torch.compile(program, fullgraph=True, dynamic=True, backend=backend)
    for T, B in ((6, 5), (7, 2)):  # not I or H: sizes that are equal have one symbol
        found = []
        for kind, run in (("", program), ("eager", compiled), ("aot", compiled)):
            kinds.append(kind)
            x, *more = column.data(T, B, dtype=torch.float32)
            x.requires_grad_()
            results = run(x, *more)
            loss = torch.stack([r.pow(2).sum() for r in results]).sum()
            found.append([results, torch.autograd.grad(loss, [x, *program.parameters()])])
        for actual in found[1:]:
            assert_alike(actual[0], found[0][0], exact=True)
            assert_alike(actual[1], found[0][1])
    assert len(graphs) == 1
