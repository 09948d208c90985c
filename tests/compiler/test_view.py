"""Addresses in the IR: what a view computes, and where."""

from elman.compiler.ir import Function, Module
from elman.compiler.view import View


def test_an_address_is_the_sum_over_dimensions():
    f = Function(Module(), "f", [("ptr", "a"), ("i64", "stride")])
    view = View(f, "float", "%a", ("%stride", 1))
    assert view.at() == "%a"
    view.row(3).load(5)
    view.past(0, 2).store("1.0", 1)
    lines = [line.strip() for line in str(f).splitlines()[2:-2]]
    assert lines == [
        "%v1 = mul i64 3, %stride",
        "%v2 = getelementptr float, ptr %a, i64 %v1",
        "%v3 = getelementptr float, ptr %v2, i64 5",
        "%v4 = load float, ptr %v3",
        "%v5 = getelementptr float, ptr %a, i64 2",
        "%v6 = getelementptr float, ptr %v5, i64 %stride",
        "store float 1.0, ptr %v6",
    ]


def test_the_address_of_a_row_is_computed_outside_of_a_loop_over_its_units():
    f = Function(Module(), "f", [("ptr", "a"), ("i64", "row"), ("i64", "units")])
    with f.loop(0, "%units") as unit:
        View(f, "float", "%a", (8, 1)).load("%row", unit)
    text = str(f)
    assert text.index("mul i64 %row, 8") < text.index("br label") < text.index("load float")
