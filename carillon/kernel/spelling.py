"""How a person's texts are written for who takes them: plain, or for a place between the quotes of a JSON string.

A text is spelt character by character, so that its parts are spelt as the whole is: what a million people share is spelt
once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import orjson

Spelling = Literal["plain", "json"]
"""json: as it stands between the quotes of a JSON string, one character for each of its bytes."""

Spell = Callable[[str], str]


def as_it_is(text: str) -> str:
    """The spelling that changes nothing."""
    return text


def json_spelt(text: str) -> str:
    """The text as JSON; what is joined of such texts becomes bytes by a copy (`encode("latin-1")`)."""
    return orjson.dumps(text)[1:-1].decode("latin-1")


def json_read(text: str) -> str:
    """The text that was spelt so."""
    return str(orjson.loads(b'"%b"' % text.encode("latin-1")))


SPELLINGS: Mapping[Spelling, Spell] = {"plain": as_it_is, "json": json_spelt}
