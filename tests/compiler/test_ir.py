"""What constants decide is decided when the code is written."""

import pytest

from elman.compiler.ir import LONG, Function, Module


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


def test_what_does_not_change_in_a_loop_is_done_once_in_front_of_it(f):
    with f.loop(0, "%n") as i:
        row = f.mul(i, "%n")
        with f.loop(0, "%n") as j:
            assert f.mul(i, "%n") == f.mul(i, "%n")  # hoisted as far as to the inner loop
            f.store("i64", f.add(f.mul("%n", 7), f.add(row, j)), f.gep("i64", "%p", f.add(row, 1)))
    lines = [line.strip() for line in str(f).splitlines()]
    outer, inner = [n for n, line in enumerate(lines) if line.startswith("br label %head")][:2]

    def place(text: str) -> int:
        (found,) = [n for n, line in enumerate(lines) if f"= {text}" in line]
        return found

    assert place("mul i64 %n, 7") < outer
    assert outer < place(f"add i64 {row}, 1") < place("getelementptr") < inner
    assert place(f"add i64 {row}, {j}") > inner


def test_a_division_that_may_be_by_zero_stays_where_it_is(f):
    with f.loop(0, "%n"):
        f.do("something")
        f.div(7, "%n")
        f.div("%n", 7)
    lines = [line.strip().split(" = ")[-1] for line in str(f).splitlines()]
    assert lines.index("udiv i64 %n, 7") < lines.index("something")
    assert lines.index("udiv i64 7, %n") > lines.index("something")


def test_the_parts_of_a_module_are_what_they_need():
    module = Module()
    for name in ("sin", "cos"):
        module.declare(f"float @{name}(float)")
        module.constant(f"{name}_begin", "float 1.0")
    inner = Function(module, "inner", [("ptr", "p")], shared=True)
    inner.op("call float @sin(float 1.0)")
    helper = Function(module, "helper", [])
    helper.op("load float, ptr @cos_begin")
    helper.call("inner", ("ptr", "null"))
    outer = Function(module, "outer", [], shared=True)
    outer.call("helper")
    Function(module, "unused", [], shared=True)
    entry = Function(module, "entry", [], public=True)
    for called in ("outer", "helper"):
        entry.call(called)
    parts = module.parts()
    assert [(part.name, part.calls) for part in parts] == [
        ("inner", []),
        ("outer", ["inner"]),
        ("", ["outer", "inner"]),
    ]
    texts = [part.text.splitlines() for part in parts]
    assert {lines[0] for lines in texts} == {f"{LONG} = type i64"}
    heads = [[s for s in lines[1:] if not s.startswith("  ")] for lines in texts]
    alone = "define internal void @helper() nounwind {"
    assert heads[0][:2] == ["declare float @sin(float)", "define void @inner(ptr %p) nounwind {"]
    begin = ["declare void @inner(ptr)", "@cos_begin = internal constant float 1.0"]
    assert set(heads[1]) >= {*begin, "define void @outer() nounwind {", alone}
    assert set(heads[2]) >= {*begin, "declare void @outer()", alone}
    assert not any("unused" in part.text or "sin_begin" in part.text for part in parts)


def test_a_word_is_as_wide_as_the_module_says():
    def text(word: int) -> str:
        f = Function(Module(word), "anything", [("i64", "n")])
        with f.loop(0, "%n") as i:
            f.store("i64", f.resized(f.add(i, 1), LONG), "%p")
            f.store("i32", f.resized(f.add(i, 1), "i32"), "%p")
            f.word("%a", "i32"), f.word("%b", LONG)
        return str(f.module)

    wide, narrow = text(64), text(32)
    assert "trunc i64 %" in wide
    assert "zext i32 %a to i64" in wide
    assert "sext" not in wide
    assert narrow.count("sext i32 %") == 1
    assert f"trunc {LONG} %b to i32" in narrow
    assert "i64" not in narrow.replace(f"{LONG} = type i64", "")
