"""What an SMS costs: its alphabet and the number of segments that are billed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENDED = frozenset("\f^{}\\[~]|€")
"""3GPP TS 23.038 §6.2.1.1: an escape stands before these, so they count twice."""


@dataclass(frozen=True, slots=True)
class Segments:
    """How a text travels: 160 characters alone or 153 a part in GSM-7, 70 or 67 in UCS-2."""

    alphabet: Literal["GSM-7", "UCS-2"]
    units: int
    count: int


def segments(text: str) -> Segments:
    """The segments of one SMS, exactly: neither an escape nor a surrogate pair is cut in two."""
    if all(c in _GSM or c in _EXTENDED for c in text):
        return _counted("GSM-7", [2 if c in _EXTENDED else 1 for c in text], 160, 153)
    return _counted("UCS-2", [2 if ord(c) > 0xFFFF else 1 for c in text], 70, 67)


def _counted(alphabet: Literal["GSM-7", "UCS-2"], units: list[int], alone: int, each: int) -> Segments:
    total = sum(units)
    if total <= alone:
        return Segments(alphabet, total, 1)
    count, room = 1, each
    for unit in units:
        if unit > room:
            count, room = count + 1, each
        room -= unit
    return Segments(alphabet, total, count)
