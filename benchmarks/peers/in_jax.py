"""JAX: ``jit`` over ``lax.scan``, the input projected at once or inside, steps unrolled or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .task import Task, parameters

UNROLL = {"": 1, "unroll 4": 4, "unroll 10": 10}
VARIANTS = tuple(
    ", ".join(filter(None, (where, unroll)))
    for where in ("projected at once", "projected inside")
    for unroll in UNROLL
)


def prepare(task: Task, variant: str) -> tuple[Callable[[], Any], Callable[[], list[np.ndarray]]]:
    """The compiled function in this mode, and what it gives."""
    where, _, unroll = variant.partition(", ")
    form = task.form

    def project(p: dict[str, Any], x: Any) -> Any:
        return x @ p["w_ih"].T + (p["b_ih"] + p["b_hh"] if form_adds else p["b_ih"])

    form_adds = task.cell != "gru"  # whose reset gate multiplies the product with its bias

    def run(p: dict[str, Any], x: Any) -> Any:
        vectors = [p[f"v{i}"] for i in range(form.vectors)]

        def step(states: Any, x_t: Any) -> Any:
            x_t = x_t if where == "projected at once" else project(p, x_t)
            u = states[0] @ p["w_hh"].T
            u = u if form_adds else u + p["b_hh"]
            gates = (jnp.split(a, form.gates, -1) for a in (x_t, u))
            new = form.formula(jax.nn, *gates, states, vectors)
            return new, new[0]

        begin = (jnp.zeros((task.B, task.H), jnp.float32),) * form.states
        xs = project(p, x) if where == "projected at once" else x
        return jax.lax.scan(step, begin, xs, unroll=UNROLL[unroll])[1]

    def train(p: dict[str, Any], x: Any, grad: Any) -> Any:
        output, pull = jax.vjp(lambda q: run(q, x), p)
        return output, pull(grad)[0]

    arrays = {name: jnp.asarray(array) for name, array in task.arrays().items()}
    learned = {name: arrays[name] for name in parameters(arrays)}
    if task.mode == "inference":
        compiled = jax.jit(run).lower(learned, arrays["x"]).compile()
        given: tuple[Any, ...] = (learned, arrays["x"])
    else:
        given = (learned, arrays["x"], arrays["grad"])
        compiled = jax.jit(train).lower(*given).compile()

    def call() -> Any:
        return jax.block_until_ready(compiled(*given))

    def results() -> list[np.ndarray]:
        found = call()
        if task.mode == "inference":
            return [np.asarray(found)]
        return [np.asarray(found[0]), *(np.asarray(found[1][name]) for name in learned)]

    return call, results
