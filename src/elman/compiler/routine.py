"""Functions of a table of slots, and how threads share one, or wait for one another's steps; the
function of a pass that Python calls.

What is known of a table is no variable in the code: where there is known to be one thread, tickets
are a loop; where a counter is known to be null, nothing waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from .buffers import Slots
from .ir import Function, Int, Module
from .isa import ISA, Processor, processor_of
from .schedule import DEFAULT, Schedule

#: Of the numbers of a call: behind the table's address scratch memory, then the first tensor.
SCRATCH, FIRST = 1, 2
#: Slots of whatever threads may share.
SHARED = "ticket", "workers", "late", "threads", "parallel", "fp"
#: Slots of a pass that may run beside others, all but the first addresses, 0 if there is nothing to
#: wait for: how many steps it does at a time, where it tells how many it has done, in its own
#: order; where those tell it whose steps it reads, of the same order and of the opposite one; and
#: the system's function that gives the core to another thread.
BESIDE = "piece", "done", "after.same", "after.other", "yield"
FOREVER = (1 << 63) - 1  # more looks than anybody takes
LINE = 128  # bytes for a counter: processors fetch two lines of 64 at once


class Routine:
    """A function ``void name(ptr args)`` whose argument is a table of 64-bit slots.

    ``known`` are the slots whose numbers the code is made for; an address that is known is null.
    """

    def __init__(
        self,
        module: Module,
        name: str,
        isa: ISA,
        slots: Slots,
        known: Mapping[str, int] = {},
        schedule: Schedule = DEFAULT,
    ) -> None:
        self._alone = known.get("threads") == 1
        self.f = Function(module, name, [("ptr", "args")], hides=not self._alone)
        self.module, self.isa, self.slots = module, isa, slots
        self._schedule = schedule
        self._loaded: dict[tuple[str, str], str] = {}
        self._known = known

    @property
    def _processor(self) -> Processor:
        return processor_of(self.isa)

    # -- arguments

    def slot(self, name: str) -> Int:
        """The number in a slot: what the code is made for, or read at the start of the function."""
        return self._known[name] if name in self._known else self._read(name, "i64")

    def _read(self, name: str, kind: str) -> str:
        if (name, kind) not in self._loaded:
            at = self.f.first(f"getelementptr i64, ptr %args, i64 {self.index(name)}")
            self._loaded[name, kind] = self.f.first(f"load {kind}, ptr {at}")
        return self._loaded[name, kind]

    def pointer(self, name: str) -> str:
        """The address in a slot."""
        return "null" if name in self._known else self._read(name, "ptr")

    def address(self, name: str) -> str:
        """Where a slot lies: the ticket counter is shared by all threads."""
        return self.f.first(f"getelementptr i64, ptr %args, i64 {self.index(name)}")

    def copy(self) -> str:
        """A copy of the whole table on this thread's stack, see :meth:`put`."""
        length = len(self.slots.names)
        own = self.f.alloca(length, "i64", 8)
        with self.f.loop(0, length) as i:
            self.f.store("i64", self.f.load("i64", "%args", i), self.f.gep("i64", own, i))
        return own

    def index(self, name: str) -> int:
        """The place of a slot in a table."""
        return self.slots.at[name]

    def put(self, table: str, values: Mapping[str, Int]) -> None:
        """Sets slots of a copy."""
        for name, value in values.items():
            self.f.store("i64", value, self.f.gep("i64", table, self.index(name)))

    # -- work handed to threads

    @contextmanager
    def tickets(self, total: Int) -> Iterator[Int]:
        """Every number below ``total`` once, over all threads, which take them in ascending order.

        A thread that comes when there is none left says so in ``late``.
        """
        f = self.f
        if self._alone:
            with f.loop(0, total) as number:
                yield number
            return
        late, head, body, leave = (f.name(part) for part in ("late", "next", "work", "done"))
        counter, following = self.address("ticket"), "%" + f.name("ticket")
        own = "%" + f.name("ticket")
        self.enter()
        ticket, begin = f.op(f"atomicrmw add ptr {counter}, i64 1 monotonic"), f.block
        f.do(f"br i1 {f.compare('slt', ticket, total)}, label %{body}, label %{late}")
        f.label(late)
        self.mark_late()
        f.do(f"br label %{leave}")
        f.label(body)
        f.do(f"{own} = phi i64 [ {ticket}, %{begin} ], [ {following}, %{head} ]")
        yield own
        f.do(f"br label %{head}")
        f.label(head)
        f.do(f"{following} = atomicrmw add ptr {counter}, i64 1 monotonic")
        f.do(f"br i1 {f.compare('slt', following, total)}, label %{body}, label %{leave}")
        f.label(leave)
        self.leave()

    def enter(self) -> None:
        """Takes over the caller's rounding and denormal modes, which threads don't inherit."""
        self._own = self.f.alloca(1, "i64", 8)
        self._processor.read_fp(self.f, self._own)
        self._processor.write_fp(self.f, self.address("fp"))

    def leave(self) -> None:
        self._processor.write_fp(self.f, self._own)

    def worker(self) -> str:
        """The number of this thread among those of the region."""
        return self.f.op(f"atomicrmw add ptr {self.address('workers')}, i64 1 monotonic")

    def region(self, worker: str) -> None:
        """Runs a worker on as many threads as the caller wants, and waits for them."""
        f = self.f
        for counter in ("ticket", "workers"):
            f.do(f"store atomic i64 0, ptr {self.address(counter)} monotonic, align 8")
        self._processor.read_fp(f, self.address("fp"))
        threads = self.slot("threads")

        def many() -> None:
            count = f.op(f"trunc i64 {threads} to i32")
            run = self.pointer("parallel")
            f.do(f"call void {run}(ptr @{worker}, ptr %args, i32 {count}, i32 0)")

        alone = partial(f.call, worker, ("ptr", "%args"))
        f.branch(f.compare("sgt", threads, 1), many, alone)

    # -- steps that other threads wait for

    def wait(self, begin: Int, end: Int) -> None:
        """Until what the steps from ``begin`` to ``end`` read of other passes has been written. A
        pass of the opposite order does the first of these steps as its ``T - begin``-th."""
        self.wait_for("after.same", end)
        self.wait_for("after.other", self.f.sub(self.slot("T"), begin))

    def wait_for(self, slot: str, steps: Int) -> None:
        """Until the counter that a slot points to, if it does, has reached so many steps."""
        if slot in self._known:
            return
        counter = self.pointer(slot)
        with self.f.when(self.f.op(f"icmp ne ptr {counter}, null")):
            self.look(counter, steps)

    def look(self, counter: str, number: Int, spins: Int = 0, most: Int = FOREVER) -> None:
        """Looks at a counter until it has reached a number, so many times at most; after every
        ``spins`` times it gives its core away."""
        if not self.module.defines("wait"):
            _define_wait(self.module, self.isa)
        rest = "ptr", self.pointer("yield")
        numbers = ("i64", spins or self._schedule.spins), ("i64", most)
        self.f.call("wait", ("ptr", counter), ("i64", number), rest, *numbers)

    def mark_late(self) -> None:
        """Records that another thread came late, or stayed away."""
        self.f.do(f"store atomic i64 1, ptr {self.address('late')} monotonic, align 8")

    def tell(self, end: Int) -> None:
        """That so many steps have been done, to whoever waits for them."""
        if "done" in self._known:
            return
        counter = self.pointer("done")
        with self.f.when(self.f.op(f"icmp ne ptr {counter}, null")):
            self.f.do(f"store atomic i64 {end}, ptr {counter} release, align 8")


def is_multiple(f: Function, number: Int, of: Int) -> str:
    """Whether a number of looks is one at which a core is given away."""
    return f.compare("eq", f.op(f"urem i64 {number}, {of}"), 0)


def _define_wait(module: Module, isa: ISA) -> None:
    """``wait(counter, number, rest, spins, most)``, see :meth:`Routine.look`: a thread that has
    waited for long lets others have its core, or it might be the one that it waits for that has
    none."""
    numbers = ("i64", "spins"), ("i64", "most")
    params = ("ptr", "counter"), ("i64", "number"), ("ptr", "rest"), *numbers
    f = Function(module, "wait", params, shared=True)
    look, more, idle, give, again, leave = map(
        f.name, ("look", "more", "idle", "give", "again", "leave")
    )
    turn, following = "%" + f.name("turn"), "%" + f.name("turn")
    f.do(f"br label %{look}")
    f.label(look)
    f.do(f"{turn} = phi i64 [ 0, %entry ], [ {following}, %{again} ]")
    done = f.op("load atomic i64, ptr %counter acquire, align 8")
    f.do(f"br i1 {f.compare('sge', done, '%number')}, label %{leave}, label %{more}")
    f.label(more)
    f.do(f"br i1 {f.compare('sge', turn, '%most')}, label %{leave}, label %{idle}")
    f.label(idle)
    processor_of(isa).pause(f)
    f.do(f"{following} = add i64 {turn}, 1")
    f.do(f"br i1 {is_multiple(f, following, '%spins')}, label %{give}, label %{again}")
    f.label(give)
    f.op("call i32 %rest()")
    f.do(f"br label %{again}")
    f.label(again)
    f.do(f"br label %{look}")
    f.label(leave)


def define_entry(module: Module, name: str, run: str) -> None:
    """The function of a pass that Python calls; ``run`` is the frame that does the work.

    Its argument is a list of numbers: the address of a prepared table, that of scratch memory,
    and the rest of the addresses of the call (``launch``). The table is copied to where
    scratch memory begins, and there the numbers are added to the slots that they belong to.
    """
    f = Function(module, name, [("ptr", "numbers")], public=True)
    prepared, table = f.load("ptr", "%numbers", 0), f.load("ptr", "%numbers", 1)
    length, end = f.load("i64", prepared, 0), f.load("i64", prepared, 1)
    given = f.gep("i64", prepared, 2)
    with f.loop(0, length) as i:
        f.store("i64", f.load("i64", given, i), f.gep("i64", table, i))
    with f.loop(length, end, 2) as i:
        slot = f.gep("i64", table, f.load("i64", given, i))
        number = f.load("i64", "%numbers", f.load("i64", given, f.add(i, 1)))
        f.store("i64", f.add(f.load("i64", slot), number), slot)
    f.call(run, ("ptr", table))
