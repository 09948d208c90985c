"""A random problem for a cell, its solution by the kernel, and by the float64 reference."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

import elman
from elman.batch import Weights
from elman.dispatch.layer import recur
from elman.rows import Rows
from elman.step import Step
from tests.cells import EVERY_STEP
from tests.reference import recurrences
from tests.sizes import layer_sizes
from tests.tolerances import assert_close

RAGGED = [7, 5, 5, 2, 1, 1, 1]


@dataclass
class Problem:
    """Sizes and options of a call; the numbers follow from the seed.

    ``lengths``, longest first, makes the batch ragged. ``P`` is the size of a projected state,
    at most ``H``. Tensors are named "x", "h0.<state>", "input.<name>", "<direction>.<parameter>";
    results "output", "final.<state>" and "gradient of <tensor>".
    """

    cell: str
    T: int = 5
    B: int = 5
    I: int = 3  # noqa: E741
    H: int = 9
    P: int = 5
    D: int = 1
    dtype: torch.dtype = torch.float64
    lengths: list[int] | None = None
    bias: bool = True
    h0: bool = True
    seed: int = 0
    recompute: bool = False
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        heads = EVERY_STEP[self.cell].heads
        self.H = max(self.H, *(space.fixed for space in EVERY_STEP[self.cell].spaces))
        self.H, self.P = (-(-n // heads) * heads for n in (self.H, min(self.P, self.H)))
        if EVERY_STEP[self.cell].alike:
            self.I = self.H
        if self.lengths:
            self.T, self.B = self.lengths[0], len(self.lengths)
        step, random = EVERY_STEP[self.cell], torch.Generator().manual_seed(self.seed)

        def uniform(*shape: int, bound: float = 1.0) -> Tensor:
            return ((torch.rand(shape, generator=random) * 2 - 1) * bound).to(self.dtype)

        bound = self.H**-0.5
        size = layer_sizes(self.I, self.H, self.P)
        units = {s: size[step.space(s)] for s in step.states}
        self.tensors["x"] = uniform(self.T, self.B, self.I)
        for name in step.states if self.h0 else ():
            self.tensors[f"h0.{name}"] = uniform(self.D, self.B, units[name])
        for name in step.inputs:
            self.tensors[f"input.{name}"] = uniform(self.T, self.B, size[step.input_space(name)])
        for d in range(self.D):
            for name, shape in step.shapes(size).items():
                if self.bias or not name.startswith("bias"):
                    self.tensors[f"{d}.{name}"] = uniform(*shape, bound=bound)
        # What the results are multiplied with to give a loss: their gradients.
        self.g_output = uniform(self.T, self.B, self.D * units[step.states[0]])
        self.g_final = [uniform(self.D, self.B, units[name]) for name in step.states]

    @property
    def step(self) -> Step:
        return EVERY_STEP[self.cell]

    @property
    def rows(self) -> Rows:
        """The rows in the form that the kernels take."""
        if self.lengths is None:
            return Rows(self.T, self.B, self.T * self.B)
        counts = (self.row_lengths > torch.arange(self.T).unsqueeze(1)).sum(1)
        return Rows(self.T, self.B, int(counts.sum()), counts, counts.cumsum(0) - counts)

    @property
    def row_lengths(self) -> Tensor:
        return torch.tensor(self.lengths or [self.T] * self.B)

    def pack(self, padded: Tensor) -> Tensor:
        """``(T, B, ...)`` as ``(N, ...)`` if the batch is ragged."""
        if self.lengths is None:
            return padded
        return padded[self.row_lengths > torch.arange(self.T).unsqueeze(1)]

    def run(
        self, wanted: set[str] | None = None, *, use: tuple[str, ...] = ("output", "final")
    ) -> dict[str, Tensor]:
        """The results by elman on the path that is set, from leaves that require a gradient."""
        leaves = {
            n: self.arrange(n, t).clone().requires_grad_(wanted is None or n in wanted)
            for n, t in self.tensors.items()
        }
        output, final = self.call(leaves)
        return self._results(leaves, output, final, self.pack(self.g_output), use)

    def arrange(self, name: str, tensor: Tensor) -> Tensor:
        """A tensor as :meth:`call` takes it."""
        return self.pack(tensor) if name == "x" or name.startswith("input") else tensor

    def call(self, leaves: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Elman's results for these tensors."""
        step, weights = self.step, []
        for d in range(self.D):
            flat = [leaves.get(f"{d}.{name}") for name in step.parameters]
            weights.append(Weights(*flat[:4], tuple(flat[4:])))
        return recur(
            step,
            self.rows,
            leaves["x"],
            [leaves.get(f"h0.{name}") for name in step.states],
            weights,
            [leaves[f"input.{name}"] for name in step.inputs],
            recompute=self.recompute,
        )

    def solve(self, use: tuple[str, ...] = ("output", "final")) -> dict[str, Tensor]:
        """The results by the reference of these tests, in float64."""
        leaves = {n: t.double().clone().requires_grad_() for n, t in self.tensors.items()}
        step, found = self.step, []
        for d in range(self.D):
            zeros = [torch.zeros_like(g[d]).double() for g in self.g_final]
            given = [leaves.get(f"h0.{name}") for name in step.states]
            found.append(
                recurrences.run(
                    self.cell,
                    leaves["x"],
                    {n: leaves.get(f"{d}.{n}") for n in step.parameters},
                    [z if h is None else h[d] for h, z in zip(given, zeros, strict=True)],
                    [leaves[f"input.{name}"] for name in step.inputs],
                    self.row_lengths,
                    reverse=d == 1,
                )
            )
        output = torch.cat([o for o, _ in found], -1)
        final = [torch.stack(parts) for parts in zip(*(f for _, f in found), strict=True)]
        results = self._results(leaves, output, final, self.g_output.double(), use)
        ends = ("output", "of x", *(f"input.{name}" for name in step.inputs))
        return {n: self.pack(t) if n.endswith(ends) else t for n, t in results.items()}

    def _results(
        self,
        leaves: dict[str, Tensor],
        output: Tensor,
        final: list[Tensor],
        g_output: Tensor,
        use: tuple[str, ...],
    ) -> dict[str, Tensor]:
        loss = torch.zeros((), dtype=torch.float64)
        if "output" in use:
            loss = loss + (output * g_output).sum()
        if "final" in use:
            pairs = zip(final, self.g_final, strict=True)
            loss = loss + sum((f * g.to(f.dtype)).sum() for f, g in pairs)
        results = {"output": output}
        results |= {f"final.{n}": f for n, f in zip(self.step.states, final, strict=True)}
        if loss.requires_grad:
            loss.backward()
        for name, leaf in leaves.items():
            if loss.requires_grad and leaf.requires_grad:
                grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
                results[f"gradient of {name}"] = grad
        return results


def check(
    problem: Problem,
    wanted: set[str] | None = None,
    use: tuple[str, ...] = ("output", "final"),
    floor: float = 1e-30,
    path: str = "kernel",
) -> None:
    """The results on a path, which is forced, against the reference; each one."""
    with elman.set_path(path):
        found = problem.run(wanted, use=use)
    expected = problem.solve(use=use)
    assert len(found) > 1
    for name, value in found.items():
        kind = "gradient" if name.startswith("gradient") else "state"
        assert_close(value, expected[name], kind, f"{problem.cell}, {name}", floor)
