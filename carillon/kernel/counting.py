"""Numbers of things in sentences: `1 event`, `12,004 events`, `1 person waits`, `2 people wait`."""

from __future__ import annotations

_ENDS_IN_ES = ("s", "x", "ch", "sh")
_OF_ONE = {"are": "is", "finish": "finishes", "go": "goes", "have": "has", "were": "was"}


def counted(n: int, one: str, many: str = "") -> str:
    """So many of them: the noun in the singular for exactly one; `many` where its plural is not regular."""
    return f"{n:,} {one if n == 1 else many or one + ('es' if one.endswith(_ENDS_IN_ES) else 's')}"


def people(n: int) -> str:
    """So many people."""
    return counted(n, "person", "people")


def verb(n: int, of_many: str) -> str:
    """What so many do: `wait` of several, `waits` of one."""
    return of_many if n != 1 else _OF_ONE.get(of_many, f"{of_many}s")
