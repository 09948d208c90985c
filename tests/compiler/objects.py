"""Reading an ELF object file: the symbols it defines, and those it wants from elsewhere."""

import struct

_SECTION = struct.Struct("<IIQQQQIIQQ")  # name, type, flags, address, offset, size, link, ...
_SYMBOL = struct.Struct("<IBBHQQ")  # name, info, other, section, value, size
_SYMBOL_TABLE = 2


def symbols(code: bytes) -> dict[str, bool]:
    """Every named symbol of a 64-bit little-endian object: whether it is defined in it."""
    assert code[:6] == b"\x7fELF\x02\x01"
    (start,) = struct.unpack_from("<Q", code, 40)
    size, count = struct.unpack_from("<HH", code, 58)
    sections = [_SECTION.unpack_from(code, start + i * size) for i in range(count)]
    tables = [s for s in sections if s[1] == _SYMBOL_TABLE]
    assert len(tables) == 1
    _, _, _, _, offset, length, link, *_ = tables[0]
    names = code[sections[link][4] :]
    found = {}
    for name, _, _, section, _, _ in _SYMBOL.iter_unpack(code[offset : offset + length]):
        if name:
            found[names[name : names.index(b"\0", name)].decode()] = section != 0
    return found


def undefined(code: bytes) -> list[str]:
    """The symbols that the object does not define itself."""
    return [name for name, here in symbols(code).items() if not here]
