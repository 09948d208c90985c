"""JAX: ``jit`` over ``lax.scan``, the input projected at once or inside, steps unrolled or not."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp

from elman.bench.contestants import Call
from elman.bench.task import Task

from .formulas import STEPS

PROJECTED = ("at once", "inside")
UNROLLED = (1, 4)


def forms(task: Task) -> Sequence[str]:
    """Where the input is projected; how many steps are unrolled."""
    if task.streaming:
        return [""]
    return [f"{where}, {steps}" for where, steps in itertools.product(PROJECTED, UNROLLED)]


def prepare(task: Task, form: str) -> Call:
    """The compiled function. In inference the weights are constants of it."""
    where, _, unroll = (form or "at once, 1").partition(", ")
    weights = {name: jnp.asarray(array) for name, array in task.parameters().items()}
    x, gradient = jnp.asarray(task.input()), jnp.asarray(task.gradient())
    states: Any = tuple(map(jnp.asarray, task.states()))

    def run(weights: dict[str, Any], x: Any, states: Any) -> Any:
        shape = (task.num_layers * task.directions, task.B, task.H)
        states = states or (jnp.zeros(shape, jnp.float32),) * task.states_of_a_step
        ends = []
        for layer in range(task.num_layers):
            ways = []
            for d, end in enumerate(("", "_reverse")[: task.directions]):
                mine = {
                    name.partition("_l")[0]: weight
                    for name, weight in weights.items()
                    if name.endswith(f"_l{layer}{end}")
                }
                begin = tuple(s[layer * task.directions + d] for s in states)
                last, output = _scan(task, mine, x, begin, where, int(unroll), bool(d))
                ways.append(output)
                ends.append(last)
            x = jnp.concatenate(ways, -1)
        return x, tuple(map(jnp.stack, zip(*ends, strict=True)))

    if task.mode == "training":

        def both(weights: dict[str, Any], x: Any, gradient: Any) -> Any:
            output, pull = jax.vjp(lambda w: run(w, x, ())[0], weights)
            return output, pull(gradient)[0]

        step = jax.jit(both)

        def train() -> Sequence[Any]:
            output, found = jax.block_until_ready(step(weights, x, gradient))
            return (output, *(found[name] for name in weights))

        return train

    forward = jax.jit(lambda x, states: run(weights, x, states))

    def infer() -> Sequence[Any]:
        nonlocal states
        output, new = jax.block_until_ready(forward(x, states))
        states = new if task.streaming else states
        return (output,)

    return infer


def _scan(
    task: Task, w: dict[str, Any], x: Any, begin: Any, where: str, unroll: int, reverse: bool
) -> Any:
    """One direction of one layer: the last states, and the output."""
    apart = task.layer == "GRU"  # whose reset gate multiplies the product with its bias
    vectors = [array for name, array in w.items() if name.startswith("vector")]

    def project(x: Any) -> Any:
        return x @ w["weight_ih"].T + (w["bias_ih"] if apart else w["bias_ih"] + w["bias_hh"])

    def step(states: Any, x: Any) -> Any:
        x = project(x) if where == "inside" else x
        u = states[0] @ w["weight_hh"].T
        u = u + w["bias_hh"] if apart else u
        gates = (jnp.split(a, task.gates, -1) for a in (x, u))
        new = STEPS[task.layer](jax.nn, *gates, states, vectors)
        return new, new[0]

    given = x if where == "inside" else project(x)
    return jax.lax.scan(step, begin, given, reverse=reverse, unroll=unroll)
