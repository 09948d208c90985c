"""What each kind of processor has of its own."""

import dataclasses

import pytest

from elman.compiler.isa import TABLE, processor_of


def test_every_row_has_a_kind():
    kinds = {row.machine: processor_of(row) for row in TABLE}
    assert len(set(kinds.values())) == len(kinds) == 2


def test_an_unknown_kind_is_refused():
    row = dataclasses.replace(TABLE[0], machine="riscv64")
    with pytest.raises(ValueError, match=r"unknown machine 'riscv64': expected one of \['x86_64'"):
        processor_of(row)
