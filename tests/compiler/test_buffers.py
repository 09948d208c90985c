"""The slots of a pass, and the buffers in scratch memory that are declared with them."""

import ctypes
from itertools import product
from math import prod

import pytest

from elman.compiler import jit
from elman.compiler.buffers import Argument, Buffer, Slots
from elman.compiler.formats import Format
from elman.compiler.frame import Frame
from elman.compiler.ir import Module
from elman.compiler.isa import available
from elman.compiler.plan import plan_of
from elman.compiler.routine import define_entry
from elman.compiler.target import target_of
from tests.cells import STEPS

BUFFERS = [
    Buffer("first", (lambda numbers: numbers["n"] + 1,), "i64"),
    Buffer("square", (3, "n", "m"), "float"),
    Buffer("own", ("m", 5), "i8", of_thread=True),
    Buffer("last", ("n", 2), "ptr"),
]
SLOTS = Slots(["scratch", "n", "m", "threads", Argument("x", "tru"), *BUFFERS])
NUMBERS = {"n": 4, "m": 7, "threads": 3}


def test_buffers_follow_one_another_in_lines_of_the_cache():
    offsets, nbytes = SLOTS.layout(NUMBERS)
    assert offsets == {"first": 0, "square": 64, "own": 448, "own.bytes": 64, "last": 640}
    assert nbytes == 704


def test_a_tensor_has_a_slot_for_each_stride_that_is_not_known():
    assert SLOTS.names[4:8] == ["x", "x.t", "x.r", "x.u"]


def test_a_slot_is_declared_once():
    with pytest.raises(AssertionError):
        Slots(["n", Argument("n")])


@pytest.mark.parametrize("buffer", BUFFERS, ids=lambda buffer: buffer.name)
def test_the_code_finds_an_element_where_the_layout_has_it(buffer):
    """The address is that of an array in row-major order; indices left out are zeros."""
    row, (offsets, _) = available()[0], SLOTS.layout(NUMBERS)
    lengths = [NUMBERS["n"] + 1 if callable(n) else NUMBERS.get(n, n) for n in buffer.lengths]
    size = {"i64": 8, "ptr": 8, "float": 4, "i8": 1}[buffer.kind]
    target = target_of(plan_of(STEPS["tanh"]), "float", Format("float"), row, 5, False)
    for index in [(), *product(*({0, 1, n - 1} for n in lengths))]:
        module = Module()
        frame = Frame(module, "find", target, SLOTS)
        frame.f.store("ptr", frame.scratch(buffer.name).at(*index), "%args")
        define_entry(module, "entry", "find")
        code = jit.Code(jit.object_code(module, row), "entry")
        values = NUMBERS | offsets | {"scratch": 1 << 20}
        given = [values.get(name, 0) for name in SLOTS.names]
        prepared = (ctypes.c_int64 * (2 + len(given)))(len(given), len(given), *given)
        table = (ctypes.c_int64 * len(given))()
        call = (ctypes.c_int64 * 2)(ctypes.addressof(prepared), ctypes.addressof(table))
        ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address)(ctypes.addressof(call))
        place = sum(i * prod(lengths[n + 1 :]) for n, i in enumerate(index))
        assert table[0] == values["scratch"] + offsets[buffer.name] + size * place
