"""The definition of what is correct: the step's graph evaluated with PyTorch operations.

Any device, any dtype, differentiable to any order; one step after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from .batch import LayerArgs, Weights, by_layer, inputs_of, without_masks
from .expr import PRIMITIVES, PRODUCTS, Node, as_tensor, walk
from .padded import Marks, begin_and_return, places_of, restore
from .reductions import REDUCTIONS, heads_of, reduced, unit_of
from .rows import Rows
from .step import Step


def run(
    step: Step,
    rows: Rows,
    x: Tensor,
    weights: Weights,
    initial: Sequence[Tensor],
    inputs: Sequence[Tensor] = (),
    marks: Marks | None = None,
    returns: Sequence[Tensor] = (),
) -> tuple[list[Tensor], list[Tensor]]:
    """One direction of one layer.

    ``x`` is ``(T, B, I)``, or ``(N, I)`` for ragged rows; ``initial`` holds a ``(B, H)`` tensor
    for each state. Returns the outputs, each shaped as ``x``, and the final states. ``marks`` say
    which steps of padded rows count, and before which the states are what a reset ``returns`` to.
    """
    lengths, reset = marks or Marks()
    anew = None if reset is None else before_steps(reset, rows.reverse)
    fixed = constants(step, x, weights)
    every = linear(x, weights.w_ih, weights.b_ih) if weights.w_ih is not None else None
    states = list(initial)
    every_step: dict[int, list[Tensor]] = {}
    ragged = rows.counts is not None or rows.flat
    counts = rows.counts.tolist() if rows.counts is not None else [rows.B] * rows.T
    offsets = rows.offsets.tolist() if rows.offsets is not None else range(rows.T)

    for t in reversed(range(rows.T)) if rows.reverse else range(rows.T):
        n = counts[t]

        def at_step(tensor: Tensor, t: int = t, n: int = n) -> Tensor:
            return tensor[offsets[t] : offsets[t] + n] if ragged else tensor[t]

        now = None if every is None else at_step(every)
        raw = at_step(x)
        if anew is not None:
            states = begin_anew(states, returns, anew[t])
        before = [v[:n] for v in states]
        outputs, new = advance(step, fixed, now, before, [*map(at_step, inputs)], raw)
        if lengths is not None:
            outputs, new = hold(outputs, new, states, lengths > t)
        every_step[t] = outputs
        states = [
            v if n == rows.B else torch.cat([v, old[n:]])
            for v, old in zip(new, states, strict=True)
        ]
    ordered = zip(*(every_step[t] for t in range(rows.T)), strict=True)
    return [torch.cat(parts) if ragged else torch.stack(parts) for parts in ordered], states


#: The values of leaves and matrices of products, by kind and name; and the sizes of spaces.
Values = dict[tuple[str, str], Any]


def constants(step: Step, x: Tensor, weights: Weights) -> Values:
    """What does not change from step to step: matrices, biases, vectors, numbers of units."""
    sizes = weights.sizes(step).with_input(x.shape[-1])
    tensors = dict(zip(step.parameters, weights.flat(), strict=True))
    found: Values = {}
    for (kind, name), block in step.blocks.items():
        if kind in ("product", "bias", "vector"):
            tensor = tensors[block.parameter]
            if tensor is not None and name in step.u_gates:
                tensor = block.of(tensor, sizes)
            found[kind, name] = 0.0 if tensor is None else tensor
    for leaf in step.chosen:
        index, heads = unit_of(leaf)
        row = x.new_zeros(heads, sizes[leaf.space] // heads)
        row[:, index] = 1.0
        found["unit", f"{leaf.space.name}:{leaf.attr}"] = row.flatten()
    for space in step.spaces:
        found["units", space.name] = x.new_full((), sizes[space])
        found["size", space.name] = sizes[space]
    return found


def advance(
    step: Step,
    fixed: Values,
    now: Tensor | None,
    states: Sequence[Tensor],
    inputs: Sequence[Tensor],
    raw: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """One step: its outputs and the new states from this step's projected input, ``(B, X*H)``, the
    states before, the further inputs, ``(B, H)`` each, and the ``raw`` input, ``(B, I)``, if the
    step reads it."""
    leaf = leaf_values(step, fixed, now, inputs, raw, states)
    values = evaluate([*step.new, *step.outputs.values()], leaf, states[0])
    return in_form(step, fixed, values, states)


def leaf_values(
    step: Step,
    fixed: Values,
    now: Tensor | None,
    inputs: Sequence[Tensor],
    raw: Tensor | None,
    states: Sequence[Tensor] = (),
) -> Callable[[Node, list[Any]], Any]:
    """What :func:`evaluate` asks for the values of leaves and products; the tensors are those of
    :func:`advance`, with any dimensions in place of the rows."""
    gates = [] if now is None else now.chunk(len(step.x_gates), -1)
    given = {
        **{("x", gate): v for gate, v in zip(step.x_gates, gates, strict=True)},
        **{("state", s): v for s, v in zip(step.states, states, strict=False)},
        **{
            ("random" if s in step.randoms else "input", s): v
            for s, v in zip(step.inputs, inputs, strict=True)
        },
        **fixed,
    }

    def leaf(node: Node, operands: list[Any]) -> Any:
        if node.op in PRODUCTS:
            heads, matrix = step.blocks["product", node.attr].heads, given["product", node.attr]
            return product(operands[0], matrix, heads, node.op == "product_t")
        if node.op == "unit":
            return given[node.op, f"{node.space.name}:{node.attr}"]
        return raw if node.op == "raw" else given[node.op, node.attr]

    return leaf


def in_form(
    step: Step, fixed: Values, values: Sequence[Tensor], states: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """The outputs and the new states of a step, given their values and the states before."""
    # A number counts for all units, a vector for all rows.
    new = [v.expand_as(old) for old, v in zip(states, values, strict=False)]
    known = dict(zip(step.states, new, strict=True))
    found = zip(step.outputs, values[len(states) :], strict=True)
    lead = states[0].shape[:-1]
    return [
        known[o] if o in known else v.expand(*lead, fixed["size", step.space(o).name])
        for o, v in found
    ], new


def product(value: Tensor, matrix: Tensor, heads: int, transpose: bool = False) -> Tensor:
    """The product of values ``(B, columns)`` with a matrix ``(rows, columns / heads)``, whose heads
    are applied to theirs each; of values ``(B, rows)`` with the transposed one."""
    if heads == 1:
        return linear(value, matrix.T if transpose else matrix)
    parts = matrix.chunk(heads)
    pairs = zip(value.chunk(heads, -1), (p.T for p in parts) if transpose else parts, strict=True)
    return torch.cat([linear(*pair) for pair in pairs], -1)


def before_steps(reset: Tensor, reverse: bool) -> Tensor:
    """Before which steps ``(T, B)`` of a direction the states are reset: in reverse after the step
    that comes before the reset in time."""
    return torch.cat([reset[1:], torch.zeros_like(reset[:1])]) if reverse else reset


def begin_anew(states: Sequence[Tensor], returns: Sequence[Tensor], anew: Tensor) -> list[Tensor]:
    """The states before a step at which some rows ``(B,)`` begin anew."""
    pairs = zip(returns, states, strict=True)
    return [torch.where(anew[:, None], new, old) for new, old in pairs]


def hold(
    outputs: Sequence[Tensor], new: Sequence[Tensor], states: Sequence[Tensor], active: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """The outputs and the states of a step in which only rows that are active ``(B,)`` count."""
    count = active[:, None]
    outputs = [torch.where(count, v, torch.zeros_like(v)) for v in outputs]
    return outputs, [torch.where(count, v, old) for v, old in zip(new, states, strict=True)]


def layer(
    step: Step,
    rows: Rows,
    given: LayerArgs,
    marks: Marks | None = None,
    run: Callable[..., tuple[list[Tensor], list[Tensor]]] = run,
) -> tuple[Tensor, list[Tensor]]:
    """What :func:`.dispatch.layer.recur` computes, by PyTorch operations in the weights' dtype: the
    first output; the final states and further outputs. ``run`` is what runs one direction."""
    if torch._C._is_any_autocast_enabled():
        with torch.autocast(given.x.device.type, enabled=False):
            return layer(step, rows, given, marks, run)
    if rows.padded is not None:
        return _packed(step, rows, rows.padded, given)
    step, given = without_masks(step, given)
    if marks is not None and marks.lengths is not None:
        # What lies beyond them may be no number, which gradients would meet.
        given, marks = _zero_beyond(given, rows.T, marks.lengths), marks.within(rows.T)
    check_alike(given)
    outputs: list[list[Tensor]] = []
    finals: list[list[Tensor]] = []
    for d, mine in enumerate(given.weights):
        sizes = mine.sizes(step)
        h0 = [
            given.x.new_zeros(rows.B, sizes[step.space(name)])
            if h is None
            else (h if rows.flat else h[d])
            for name, h in zip(step.states, given.initial, strict=True)
        ]
        way = rows._replace(reverse=True) if d else rows
        returns = h0
        if marks is not None:
            h0, returns = map(list, zip(*(begin_and_return(h, rows.B) for h in h0), strict=True))
        inputs = inputs_of(step, given.inputs, d, len(given.weights))
        output, final = run(step, way, given.x, mine, h0, inputs, marks, returns)
        outputs.append(output)
        finals.append(final)
    by_state = zip(*finals, strict=True)
    # Copies: callers may change results in place that the gradient reads.
    states = [parts[0].clone() if rows.flat else torch.stack(parts) for parts in by_state]
    first, *further = (
        parts[0] if len(parts) == 1 else torch.cat(parts, -1)
        for parts in zip(*outputs, strict=True)
    )
    return first, [*states, *further]


def _packed(
    step: Step, rows: Rows, lead: tuple[int, int], given: LayerArgs
) -> tuple[Tensor, list[Tensor]]:
    """:func:`layer` on copies of the steps that lie in padded tensors."""
    places = places_of(rows, lead).to(given.x.device)
    x, *inputs = (t.flatten(0, 1).index_select(0, places) for t in (given.x, *given.inputs))
    packed = given._replace(x=x, inputs=inputs)
    assert rows.counts is not None
    steps = int((rows.counts > 0).sum())
    output, others = layer(step, rows._replace(T=steps, padded=None), packed)
    count = len(step.states)
    further = [restore(t, places, lead) for t in others[count:]]
    return restore(output, places, lead), [*others[:count], *further]


def stack(
    step: Step,
    rows: Rows,
    tensors: Sequence[Tensor | None],
    layers: int,
    factors: Sequence[Tensor] = (),
) -> list[Tensor]:
    """The results of so many layers on one another, whose ``tensors`` are in the order of
    ``batch.by_layer``; the outputs between them are multiplied by ``factors``. There is one layer
    if the step gives out more than one value."""
    x, finals = tensors[0], list[list[Tensor]]()
    for i, mine in enumerate(by_layer(step, tensors, layers)):
        x, final = layer(step, rows, LayerArgs.of(step, [x, *mine[1:]]))
        x = x * factors[i] if i < len(factors) else x
        finals.append(final)
    assert x is not None
    return [x, *(torch.cat(parts) for parts in zip(*finals, strict=True))]


def gradients(
    step: Step,
    rows: Rows,
    tensors: Sequence[Tensor | None],
    layers: int,
    arrived: Sequence[Tensor | None],
    needed: Sequence[bool],
    create_graph: bool,
    factors: Sequence[Tensor] = (),
) -> list[Tensor | None]:
    """The gradients of those tensors of :func:`stack` that are ``needed``; differentiable if
    ``create_graph``. ``arrived`` are the gradients of its results.

    They are taken of fresh views: the tensors themselves may depend on one another, and then
    their gradients here would count what the caller's graph counts again.
    """
    leaves = [None if t is None else t.view_as(t) for t in tensors]
    found = stack(step, rows, leaves, layers, factors)
    results = [(o, g) for o, g in zip(found, arrived, strict=True) if g is not None]
    wanted = [t for t, n in zip(leaves, needed, strict=True) if n and t is not None]
    grads = iter(
        torch.autograd.grad(
            [o for o, _ in results],
            wanted,
            [g for _, g in results],
            create_graph=create_graph,
            allow_unused=True,
        )
    )
    return [
        next(grads) if n and t is not None else None for t, n in zip(leaves, needed, strict=True)
    ]


def _zero_beyond(given: LayerArgs, T: int, lengths: Tensor) -> LayerArgs:
    active = (torch.arange(T, device=lengths.device)[:, None] < lengths)[:, :, None]
    x, *inputs = (torch.where(active, t, torch.zeros_like(t)) for t in (given.x, *given.inputs))
    return given._replace(x=x, inputs=inputs)


def check_alike(given: LayerArgs) -> None:
    """PyTorch operations would convert some mixtures of dtypes and devices, and refuse others."""
    x = given.x
    for t in given.flat():
        if t is not None and (t.dtype != x.dtype or t.device != x.device):
            sentence = (  # torch.nn's
                "Input and parameter tensors are not at the same device, found input tensor at "
                f"{x.device} and parameter tensor at {t.device}; "
            )
            raise RuntimeError(
                f"{sentence if t.device != x.device else ''}"
                f"expected all tensors of the input's dtype and device, {x.dtype} on {x.device}, "
                f"got {t.dtype} on {t.device} in shape {tuple(t.shape)}: something has replaced a "
                f"weight: convert the module with module.to({x.dtype})"
            )


def evaluate(
    roots: Iterable[Node],
    leaf: Callable[..., Any],
    like: Tensor,
    known: dict[Node, Any] | None = None,
) -> list[Tensor]:
    """The roots' values by PyTorch operations; ``leaf`` gives leaves and products their values.

    ``leaf`` is called as ``leaf(node, operands)`` with the values of a product's operands.
    Numbers have the dtype and device of ``like``. Values that are ``known`` are taken from there,
    and all others are put there.
    """
    values: dict[Node, Any] = {} if known is None else known
    roots = [*roots]
    for current in walk(roots, lambda n: () if n in values else n.args):
        if current in values:
            continue
        operands = [values[a] for a in current.args]
        if current.op == "const":
            values[current] = as_tensor(float.fromhex(current.attr), like)
        elif current.op in PRIMITIVES:
            values[current] = PRIMITIVES[current.op].torch(*operands)
        elif current.op in REDUCTIONS:
            values[current] = reduced(current.op, operands[0], heads_of(current))
        else:
            values[current] = leaf(current, operands)
    return [values[r] for r in roots]
