"""Bytes → text: other encodings, byte order marks and invisible characters are named."""

from __future__ import annotations

import re
from dataclasses import dataclass

from carillon.kernel.problems import Position, Problem


@dataclass(frozen=True, slots=True)
class Decoded:
    """The text as far as it can be shown, whether it is what was meant, and what is wrong with it."""

    text: str
    is_sound: bool
    problems: tuple[Problem, ...] = ()


_MARKS = ((b"\xff\xfe\x00\x00", "UTF-32"), (b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))


def decode(raw: bytes, file: str) -> Decoded:
    """The file's text, which must be UTF-8."""
    name = next((name for mark, name in _MARKS if raw.startswith(mark)), None)
    if name is None and b"\x00" in raw[:64] and len(raw) % 2 == 0:
        name = "UTF-16"
    if name is not None:
        return Decoded("", False, (_as_utf8(place(file, 1, 1), f"the file is encoded as {name}"),))
    marked = raw.startswith(b"\xef\xbb\xbf")
    if marked:
        raw = raw[3:]
    try:
        return Decoded(raw.decode("utf-8"), True, (_bom(file),) if marked else ())
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        at = place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        message = "the file is not UTF-8; it looks like Windows-1252 or Latin-1"
        return Decoded(raw.decode("cp1252", errors="replace"), False, (_as_utf8(at, message),))


def _as_utf8(at: Position, message: str) -> Problem:
    return Problem(at, "YAML102", message, expected="UTF-8", suggestion="save the file as UTF-8")


def _bom(file: str) -> Problem:
    return Problem(
        place(file, 1, 1),
        "YAML103",
        "the file begins with a byte order mark (BOM), which is not needed",
        suggestion='save it as "UTF-8" instead of "UTF-8 with BOM"',
        severity="warning",
    )


_INVISIBLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff")


def invisible(text: str, file: str) -> Problem | None:
    """The first character that nobody can see and YAML does not take."""
    found = _INVISIBLE.search(text)
    if found is None:
        return None
    line = text.count("\n", 0, found.start()) + 1
    column = found.start() - text.rfind("\n", 0, found.start())
    message = f"an invisible control character (U+{ord(found[0]):04X}) stands here"
    return Problem(place(file, line, column), "YAML104", message, suggestion="delete it")


def place(file: str, line: int, column: int) -> Position:
    """The place of one character."""
    return Position(file, line, column, line, column + 1)
