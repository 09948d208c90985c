"""Running code in this process: linking, functions that kernels share, the cache of object code on
disk."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import itertools
import json
import mmap
import os
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ..runtime.cache import ObjectCache
from .ir import Module
from .isa import ISA
from .objects import LOCK, llvm, object_code, object_codes

_READ, _WRITE, _EXECUTE = 1, 2, 4  # of mprotect, on every system that has it
CACHE = ObjectCache()
_numbers = itertools.count()


class Code:
    """A compiled function. The machine code lives as long as this object.

    It may call functions at known addresses, ``imports``, and other code, which it keeps alive.
    ``key`` is what it is stored by.
    """

    def __init__(
        self,
        object_code: bytes,
        name: str,
        imports: Mapping[str, int] = {},
        calls: Mapping[str, Code] = {},
        key: str = "",
    ) -> None:
        engine = _engine()
        self.key, self._calls = key, calls
        imports = {**imports, **{called: code.address for called, code in calls.items()}}
        with LOCK:
            builder = llvm().JITLibraryBuilder()
            builder.add_object_img(object_code).export_symbol(name)
            for symbol, address in imports.items():
                builder.import_symbol(symbol, address)
            self._library = builder.link(engine, f"elman{next(_numbers)}")
            self.address: int = self._library[name]


SHARED: weakref.WeakValueDictionary[str, Code] = weakref.WeakValueDictionary()
"""The functions that modules share, by their digests: those that some code in memory calls."""


@cache
def obstacle() -> str:
    """Why this process may not run code that it makes, in words; empty if it may.

    Some systems forbid to turn written memory into executable memory; LLVM would find out too
    late. So a page is tried.
    """
    try:
        protect = ctypes.CDLL(None, use_errno=True).mprotect
    except (AttributeError, OSError, TypeError):
        return ""  # Windows has no such rule
    with mmap.mmap(-1, mmap.PAGESIZE) as page:
        probe = ctypes.c_char.from_buffer(page)
        where, size = ctypes.c_void_p(ctypes.addressof(probe)), ctypes.c_size_t(mmap.PAGESIZE)
        refused = protect(where, size, _READ | _EXECUTE)
        why = os.strerror(ctypes.get_errno())
        protect(where, size, _READ | _WRITE)
        del probe
    return f"this system refuses executable memory ({why})" if refused else ""


def _engine() -> Any:
    """The one engine in which all code lives; made at the first use."""
    with LOCK:  # a cached function alone would let two threads make one each
        return _make_engine()


@cache
def _make_engine() -> Any:
    binding = llvm()
    host = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(), opt=2, reloc="pic", jit=True
    )
    # JITLink takes one piece of memory for code and constants. LLVM's older linker takes two, and
    # ends the process where they come to lie 2 GiB apart; but on Windows it alone reaches far
    # functions.
    return binding.create_lljit_compiler(host, use_jit_link=os.name != "nt")


class Source(NamedTuple):
    """What code is made from."""

    key: str  # all that decides it
    isa: ISA
    name: str  # of the function
    emit: Callable[[], Module]
    imports: Mapping[str, int] = {}  # addresses of functions that it calls by their names


def load(source: Source, *others: Source) -> list[tuple[Code, str]]:
    """The code of a source: from the cache on disk, or compiled and put there. If it has to be
    compiled, so are the ``others``, side by side with it.

    Returns the code of each that was loaded, and where it came from, "disk" or "compiled".
    Functions that modules share are compiled once, by their text, and live once in a process.
    """
    with LOCK:
        known = _stored(_key(source), source.name, source.imports)
        if known is not None:
            return [(known, "disk")]
        found = [_stored(_key(other), other.name, other.imports) for other in others]
        missing = [of for of, code in zip(others, found, strict=True) if code is None]
        first, *made = _compiled([source, *missing])
        rest = iter(made)
        more = [(code, "disk") if code else (next(rest), "compiled") for code in found]
        return [(first, "compiled"), *more]


class _Piece(NamedTuple):
    """A part of a module that is to be code: what it is stored by, its text, for what, the function
    that others call, and what the parts are stored by that it calls."""

    key: str
    text: str
    isa: ISA
    name: str
    calls: dict[str, str]


def _pieces(source: Source) -> list[_Piece]:
    """A module in pieces, each behind those that it calls; at last its own."""
    pieces, keys = list[_Piece](), dict[str, str]()
    for part in source.emit().parts():
        calls = {called: keys[called] for called in part.calls}
        key = _digest(part.text, source.isa, *calls.values()) if part.name else _key(source)
        keys[part.name] = key
        pieces.append(_Piece(key, part.text, source.isa, part.name or source.name, calls))
    return pieces


def _compiled(sources: Sequence[Source]) -> list[Code]:
    """The code of sources. One module is written while LLVM still works on those before it."""
    modules, keys = list[list[_Piece]](), dict[str, None]()

    def missing() -> Iterator[tuple[str, ISA]]:
        for source in sources:
            modules.append(_pieces(source))
            *shared, own = modules[-1]
            absent = [p for p in shared if p.key not in SHARED and CACHE.load(p.key) is None]
            for piece in sorted([own, *absent], key=lambda piece: -len(piece.text)):
                if piece.key not in keys:
                    keys[piece.key] = None
                    yield piece.text, piece.isa

    objects = dict(zip(keys, object_codes(missing()), strict=True))
    return [
        _linked(pieces, objects, source.imports)
        for source, pieces in zip(sources, modules, strict=True)
    ]


def _linked(
    pieces: Sequence[_Piece], objects: Mapping[str, bytes], imports: Mapping[str, int]
) -> Code:
    """The code of a module, of whose pieces each is stored behind the keys of those it calls."""
    made: dict[str, Code] = {}
    *shared, own = pieces
    for piece in shared:
        code = _stored_part(piece.key, piece.name) or _new(piece, objects, made)
        made[piece.key] = SHARED[piece.key] = code
    return _new(own, objects, made, imports)


def _new(
    piece: _Piece,
    objects: Mapping[str, bytes],
    made: Mapping[str, Code],
    imports: Mapping[str, int] = {},
) -> Code:
    """The code of a piece, stored. One that has just gone from where it was is compiled here."""
    compiled = objects.get(piece.key) or object_code(piece.text, piece.isa)
    CACHE.store(piece.key, json.dumps(piece.calls).encode() + b"\n" + compiled)
    calls = {called: made[key] for called, key in piece.calls.items()}
    return Code(compiled, piece.name, imports, calls, piece.key)


def _key(source: Source) -> str:
    """What a source's own code is stored by."""
    return _digest(source.key, source.isa, source.name)


def _digest(*what: object) -> str:
    return hashlib.sha256(" ".join(map(str, [*what, _toolchain()])).encode()).hexdigest()


def _stored(digest: str, name: str, imports: Mapping[str, int] = {}) -> Code | None:
    """The code that is stored under a digest, if all that it calls is there too."""
    needs, _, compiled = (CACHE.load(digest) or b"").partition(b"\n")
    calls: dict[str, Code] = {}
    with contextlib.suppress(RuntimeError, ValueError):  # that is no code for this process
        for called, of in json.loads(needs).items():
            code = _stored_part(of, called)
            if code is None:
                return None
            calls[called] = code
        return Code(compiled, name, imports, calls, digest)
    return None


def _stored_part(digest: str, name: str) -> Code | None:
    """The code of a function that modules share, if it lives in this process or is stored."""
    code = SHARED.get(digest) or _stored(digest, name)
    if code is not None:
        SHARED[digest] = code
    return code


def sources() -> list[Path]:
    """The files that object code is made by: the compiler's, and the table of primitives."""
    folder = Path(__file__).parent
    more = (folder.parent / f"{name}.py" for name in ("expr", "spaces", "step"))
    return sorted([*folder.glob("*.py"), *more])


def _digest_of_sources() -> bytes:
    """Of the source as it is when it is imported: it may be replaced under a running process."""
    digest = hashlib.sha256()
    try:
        for source in sources():
            digest.update(source.read_bytes())
    except OSError:  # no source at hand (an archive): what this process makes is its own
        digest.update(os.urandom(32))
    return digest.digest()


_SOURCES = _digest_of_sources()


@cache
def _toolchain() -> str:
    """What object code depends on besides the formula: the system (a cache may be on a disk that
    several share), LLVM, and this package's own source."""
    import llvmlite

    return f"{sys.platform} {llvmlite.__version__} {_SOURCES.hex()}"
