"""Threads that go through the steps side by side, each with some slices of the units.

A step reads the states of all units, so nobody begins one before all have finished the one before:
after each stage the threads meet. Where units are independent, they meet in the backward pass only,
before the sums that read all units. Where other programs hold cores, meetings could last: nobody
waits for a thread that may not run.

- A thread may start late, or never. Whoever has come when the first one has looked for a while is
  the team, and takes the slices of the others too.
- A thread may lose its core later. Who waits for it for too long takes over the slices of all,
  once it has come: the team ends with that meeting.

Which thread sums up a unit does not change its bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..spaces import Space
from .buffers import Buffer, Slot
from .frame import Frame
from .graph import Program
from .ir import Function, Int, Module
from .isa import ISA, processor_of
from .plan import operands_of, products_of, reductions_of
from .routine import LINE, is_multiple
from .target import Target

#: Slices of units that a call of ``pack_slices`` packs: the first, one past the last.
PACKED = "pack.first", "pack.last"
#: Whether slices of units need a team; how many threads it has, 0 before that is known; how often
#: they look for one that is late; and the word that says who is at a meeting, far from everything
#: else that is written.
TEAM: tuple[Slot, ...] = (
    *("team", "members", "patience", *PACKED),
    Buffer("met", (3 * LINE // 8,), "i64"),
)
#: Of a thread: its slices, its number from 1 on, how many threads there are, whether they meet, and
#: how often they have come to all meetings together.
_STATE = ("first", "last", "number", "members", "meets", "came")
_HIGH = 32  # bits below: how often a thread has come; above: the number of who takes over, from 1


#: A slot of the backward pass, whose functions find their thread's there.
STATE = "team.state"


def can_cut_units(target: Target, back: bool = False) -> bool:
    """Whether tiles may have some of the units only. (The backward pass turns all gradients of a
    gate into pairs where they lie.)"""
    if target.step.whole or target.constant:
        return False
    return not (back and target.panel.makes_operands)


def mixes_units(program: Program) -> bool:
    """Whether a step of a unit reads values of others."""
    return bool(products_of(program) or reductions_of(program))


def reads_inputs(program: Program) -> bool:
    """Whether a step needs all units of its projected input before it begins."""
    read = *operands_of(program), *(n.args[0] for n in reductions_of(program))
    return any(operand.op in ("x", "xb") for operand in read)


def team_packs(target: Target) -> bool:
    """Whether each thread of a team packs the panels of its own units: there is one place where
    they are converted."""
    return not target.panel.converts


def team_of(frame: Frame) -> Team | None:
    """The thread of a team that runs a function of the backward pass, if it may be one."""
    if not can_cut_units(frame.target, back=True):
        return None
    return Team(frame, frame.pointer(STATE))


def open_doors(frame: Frame) -> None:
    """Before the region: nobody is there."""
    frame.f.store("i64", 0, frame.address("members"))
    frame.f.store("i64", 0, _met(frame))


def _met(frame: Frame) -> str:
    return frame.scratch("met").at(LINE // 8)


class Team:
    """One thread of a team, in a function that has its ``state``: numbers that are its own."""

    def __init__(self, frame: Frame, state: str) -> None:
        f, self._frame, self._count = frame.f, frame, frame.slot("unit.slices")
        self.state = state
        self._at = {name: f.gep("i64", state, i) for i, name in enumerate(_STATE)}
        self.wanted = f.compare("ne", frame.slot("team"), 0)

    @staticmethod
    def come(frame: Frame, ticket: Int) -> tuple[Team, Int]:
        """The thread with this ticket of a region that cuts rows and units into slices, and the
        slice of rows that it has."""
        f = frame.f
        team = Team(frame, f.alloca(len(_STATE), "i64", 8))
        count = team._count
        members = f.either(team.wanted, "i64", lambda: team._gather(ticket), lambda: count)
        rows = f.div(ticket, members)
        me = f.sub(ticket, f.mul(rows, members))
        several = f.op(f"and i1 {team.wanted}, {f.compare('sgt', members, 1)}")
        team._set("first", f.div(f.mul(me, count), members))
        team._set("last", f.div(f.mul(f.add(me, 1), count), members))
        team._set("number", f.add(me, 1))
        team._set("members", members)
        team._set("meets", f.op(f"zext i1 {several} to i64"))
        team._set("came", 0)
        return team, rows

    def _get(self, name: str) -> str:
        return self._frame.f.load("i64", self._at[name])

    def _set(self, name: str, value: Int) -> None:
        self._frame.f.store("i64", value, self._at[name])

    def _gather(self, ticket: Int) -> str:
        """How many threads are the team. The first one decides."""
        frame, f, schedule = self._frame, self._frame.f, self._frame.target.schedule
        members = frame.address("members")
        with f.when(f.compare("eq", ticket, 0)):
            tickets, threads = frame.address("ticket"), frame.slot("threads")
            frame.look(tickets, threads, schedule.team_spins, frame.slot("patience"))
            came = f.op(f"atomicrmw add ptr {tickets}, i64 {1 << _HIGH} monotonic")
            with f.when(f.compare("slt", came, threads)):
                frame.mark_late()
            f.do(f"store atomic i64 {came}, ptr {members} release, align 8")
        frame.look(members, 1)
        return f.op(f"load atomic i64, ptr {members} acquire, align 8")

    def meet(self) -> None:
        """Waits until all of the team are here, if it has several threads."""
        frame, f = self._frame, self._frame.f
        if not frame.module.defines("meet"):
            _define_meet(frame.module, frame.isa, frame.target.schedule.team_spins)
        with f.when(f.compare("ne", self._get("meets"), 0)):
            meeting = f.op(f"add i64 {self._get('came')}, {self._get('members')}")
            self._set("came", meeting)
            me = self._get("number")
            given = f"ptr {_met(frame)}, i64 {meeting}, i64 {me}"
            given += f", i64 {frame.slot('patience')}, ptr {frame.pointer('yield')}"
            heir = f.op(f"call i64 @meet({given})")
            with f.when(f.compare("ne", heir, 0)):
                self._set("first", 0)
                self._set("last", f.select(f.compare("eq", heir, me), self._count, 0))
                self._set("meets", 0)
                frame.mark_late()

    @property
    def span(self) -> tuple[Int, Int]:
        """The slices of units that the thread has: the first, one past the last."""
        return self._get("first"), self._get("last")

    def own_rows(self, first: Int, last: Int) -> tuple[Int, Int]:
        """The rows from first to last, for what every thread makes for itself of all units: none
        once it has left. It is not at the step of the others, and would write old numbers."""
        left = self._frame.f.compare("eq", *self.span)
        return first, self._frame.f.select(left, first, last)

    def units(self, space: Space) -> tuple[Int, Int]:
        """All units of these: the first, one past the last."""
        first, last = (self._begin(space, slice_) for slice_ in self.span)
        return first, last

    def share(self, total: Int) -> tuple[Int, Int]:
        """As large a part of so many things: the first, one past the last."""
        f = self._frame.f
        first, last = (f.div(f.mul(total, slice_), self._count) for slice_ in self.span)
        return first, last

    @contextmanager
    def slices(self, space: Space) -> Iterator[tuple[Int, Int]]:
        """A loop over the thread's slices, each by its units."""
        with self._frame.f.loop(*self.span) as i:
            yield self._begin(space, i), self._begin(space, self._frame.f.add(i, 1))

    @contextmanager
    def pack(self) -> Iterator[str]:
        """What follows packs the thread's slices, if there is a team: with this table."""
        frame, f = self._frame, self._frame.f
        with f.when(self.wanted):
            table = frame.copy()
            frame.put(table, dict(zip(PACKED, self.span, strict=True)))
            yield table

    def _begin(self, space: Space, slice_: Int) -> Int:
        f, frame = self._frame.f, self._frame
        return f.min(f.mul(slice_, frame.slot(space.slice)), frame.padded(space))


def _define_meet(module: Module, isa: ISA, spins: int) -> None:
    """``meet(met, meeting, me, patience, rest)``: comes to a meeting, which is complete when
    threads have come so many times to this and all before. 0 if the team goes on, or else who takes
    over.

    Who takes over says so in the same word, before the last one comes. So all agree on it, even
    those who see the word when others are at the next meeting.
    """
    numbers = ("i64", "meeting"), ("i64", "me"), ("i64", "patience")
    params = ("ptr", "met"), *numbers, ("ptr", "rest")
    f = Function(module, "meet", params, shared=True, returns="i64")
    look, idle, late, claim, stay, give, again, leave = map(
        f.name, ("look", "idle", "late", "claim", "stay", "give", "again", "leave")
    )
    turn, following = "%" + f.name("turn"), "%" + f.name("turn")
    f.op("atomicrmw add ptr %met, i64 1 acq_rel")
    f.do(f"br label %{look}")
    f.label(look)
    f.do(f"{turn} = phi i64 [ 0, %entry ], [ {following}, %{again} ]")
    word = f.op("load atomic i64, ptr %met acquire, align 8")
    count, heir = f.op(f"and i64 {word}, {(1 << _HIGH) - 1}"), f.op(f"lshr i64 {word}, {_HIGH}")
    f.do(f"br i1 {f.compare('sge', count, '%meeting')}, label %{leave}, label %{idle}")
    f.label(idle)
    processor_of(isa).pause(f)
    f.do(f"{following} = add i64 {turn}, 1")
    f.do(f"br i1 {f.compare('sge', following, '%patience')}, label %{late}, label %{stay}")
    f.label(late)
    f.do(f"br i1 {f.compare('eq', heir, 0)}, label %{claim}, label %{stay}")
    f.label(claim)
    mine = f.op(f"or i64 {word}, {f.op(f'shl i64 %me, {_HIGH}')}")
    f.op(f"cmpxchg ptr %met, i64 {word}, i64 {mine} acq_rel monotonic")
    f.do(f"br label %{stay}")
    f.label(stay)
    f.do(f"br i1 {is_multiple(f, following, spins)}, label %{give}, label %{again}")
    f.label(give)
    f.op("call i32 %rest()")
    f.do(f"br label %{again}")
    f.label(again)
    f.do(f"br label %{look}")
    f.label(leave)
    here = f.compare("eq", count, "%meeting")
    f.result = f.op(f"select i1 {here}, i64 {heir}, i64 0")
