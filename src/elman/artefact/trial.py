"""The test that comes with an artefact: a program in C, and what it compares results with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .header import further_inputs
from .stack import Stack

STEPS = 8
#: How far results may be from those of the reference in float64, relative to numbers above one.
TOLERANCE = {"float": 1e-4, "double": 1e-9}


def vector(stack: Stack, name: str) -> str:
    """The text of ``name_vector.h``: inputs, and the outputs that the reference has for them.

    Raises:
        ValueError: outputs that are no finite numbers.
    """
    dtype = {"float": torch.float32, "double": torch.float64}[stack.dtype]
    given: Any = {"generator": torch.Generator().manual_seed(0), "dtype": dtype, "device": "cpu"}
    steps = min(STEPS, stack.max_steps or STEPS)
    x = torch.randn(steps, stack.width, **given)
    if stack.tokens:
        x = torch.randint(stack.tokens, (steps, 1), generator=given["generator"], device="cpu")
    inputs = [torch.rand(steps, count, **given) for count in stack.further.values()]
    y = stack.run(x, inputs)
    if not y.isfinite().all():
        raise ValueError(
            "export: expected finite outputs for random inputs, got infinities or NaN: look for "
            "them among the module's parameters"
        )
    upper = name.upper()
    further = further_inputs(stack, name)
    every = [("x", "1" if stack.tokens else f"{upper}_INPUTS", x)]
    every += [(e.name, e.size, value) for e, value in zip(further, inputs, strict=True)]
    every += [("y", f"{upper}_OUTPUTS", y)]
    lengths = [f"{upper}_TEST_STEPS"] * (len(every) - 1) + [f"{upper}_TEST_ROWS"]
    kinds = ["int" if stack.tokens else stack.dtype, *[stack.dtype] * len(every)]
    arrays = [
        f"static const {kind} {name}_test_{of}[{length}][{n}] = {_rows(v)};"
        for kind, length, (of, n, v) in zip(kinds, lengths, every, strict=False)
    ]
    begin = [
        f"/* Inputs of {name}, and the outputs of elman's reference in double precision. */",
        f"#define {upper}_TEST_STEPS {steps}",
        f"#define {upper}_TEST_ROWS {len(y)} /* of outputs */",
        f"#define {upper}_TEST_TOLERANCE {TOLERANCE[stack.dtype]}",
    ]
    return "\n".join([*begin, *arrays, ""])


def _rows(values: Tensor) -> str:
    """A matrix as C has it; numbers have as many digits as a double tells apart."""
    rows = (", ".join(f"{number:.17g}" for number in row) for row in values.tolist())
    return "{\n" + ",\n".join(f"    {{{row}}}" for row in rows) + "\n}"


def program(stack: Stack, name: str) -> str:
    """The text of ``name_test.c``."""
    further = further_inputs(stack, name)
    one = "".join(f" {name}_test_{e.name}[t]," for e in further)
    many = "".join(f" {name}_test_{e.name}[0]," for e in further)
    x = f"{name}_test_x[t]" + "[0]" * bool(stack.tokens)
    given = {"name": name, "upper": name.upper(), "x": x, "one": one, "many": many}
    run, how = (_WHOLE, "twice") if stack.whole else (_STEPS, "step by step and as a chunk")
    return _TEXT.format(**given, kind=stack.dtype, run=run.format(**given), how=how)


_STEPS = """\
    {name}_init(&state);
    for (int t = 0; t < {upper}_TEST_STEPS; t++)
        {name}_step(&state, {x},{one} first[t]);
    {name}_reset(&state);
    {name}_chunk(&state, {name}_test_x[0],{many} {upper}_TEST_STEPS, second[0]);
"""
_WHOLE = """\
    {name}_chunk(&state, {name}_test_x[0],{many} {upper}_TEST_STEPS, first[0]);
    {name}_chunk(&state, {name}_test_x[0],{many} {upper}_TEST_STEPS, second[0]);
"""
_TEXT = """\
/* Runs {name} on a test vector, {how}. Returns 0 if the results are right. */
#include <stdio.h>

#include "{name}.h"
#include "{name}_vector.h"

static {name}_state state;
static {kind} first[{upper}_TEST_ROWS][{upper}_OUTPUTS];
static {kind} second[{upper}_TEST_ROWS][{upper}_OUTPUTS];

int main(void) {{
    double worst = 0;
    int wrong = 0;
{run}    for (int t = 0; t < {upper}_TEST_ROWS; t++)
        for (int i = 0; i < {upper}_OUTPUTS; i++) {{
            double expected = {name}_test_y[t][i], scale = expected < 0 ? -expected : expected;
            double error = first[t][i] - expected;
            if (error < 0) error = -error;
            error /= scale > 1 ? scale : 1;
            if (!(error <= {upper}_TEST_TOLERANCE) || second[t][i] != first[t][i]) wrong++;
            if (error > worst) worst = error;
        }}
    printf("{name}: %d steps, largest error %.1e, %d of %d numbers wrong\\n", {upper}_TEST_STEPS,
           worst, wrong, {upper}_TEST_ROWS * {upper}_OUTPUTS);
    return wrong != 0;
}}
"""


def makefile(compiler: str) -> str:
    """Builds and runs the tests of all artefacts in the folder."""
    archiver = compiler.removesuffix("gcc") + "ar" if compiler.endswith("-gcc") else "ar"
    archiver = "llvm-ar" if compiler == "clang" else archiver
    return _MAKEFILE.format(compiler=compiler, archiver=archiver)


_MAKEFILE = """\
# make test: builds and runs the test of every artefact in this folder.
# make libNAME.a, make libNAME.so: a static or a shared library of one.
# CC is the C compiler, AR the archiver; RUN is what runs programs of another machine, as qemu-arm.
ifeq ($(origin CC),default)
CC = {compiler}
endif
ifeq ($(origin AR),default)
AR = {archiver}
endif
CFLAGS ?= -O2
TESTS := $(patsubst %.c,%,$(wildcard *_test.c))

test: $(TESTS)
\tset -e; for each in $(TESTS); do $(RUN) ./$$each; done

%_test: %_test.c %.o %.h %_vector.h
\t$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $< $*.o

lib%.a: %.o
\t$(AR) rcs $@ $<

lib%.so: %.o
\t$(CC) -shared $(LDFLAGS) -o $@ $<

clean:
\trm -f $(TESTS) $(patsubst %.o,lib%.a,$(wildcard *.o)) $(patsubst %.o,lib%.so,$(wildcard *.o))

.PHONY: test clean
"""
