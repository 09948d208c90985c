"""What constants decide is decided when the code is written."""

import pytest

from elman.compiler.ir import Function, Module


@pytest.fixture
def f() -> Function:
    return Function(Module(), "anything", [("i64", "n")])


def test_a_loop_of_one_turn_is_no_loop(f):
    with f.loop(0, 4, 4) as i, f.blocks(32, lambda left: left) as (unit, size):
        f.do("something")
    assert (i, unit, size) == (0, 0, 32)
    assert str(f).splitlines()[2:-2] == ["  something"]


@pytest.mark.parametrize("bounds", [(0, 2, 1), (0, 0, 1), (0, "%n", 1), (0, 4, "%n")])
def test_any_other_loop_is_one(f, bounds):
    with f.loop(*bounds) as i:
        pass
    assert isinstance(i, str)
    assert str(f).count("phi i64") == 1


def test_of_two_branches_the_one_that_is_taken_is_written(f):
    for number, expected in ((3, "less"), (5, "more")):
        taken = f.either(f.compare("slt", number, 4), "i64", lambda: "less", lambda: "more")
        assert taken == expected
    assert f.select(f.compare("eq", 1, 2), 7, 8) == f.min(9, 8) == f.max(8, 7) == 8
    assert str(f).splitlines()[2:-2] == []
