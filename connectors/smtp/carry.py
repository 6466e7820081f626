"""Mails of a batch over one connection: envelope, body, the next envelope behind it; what each reply means for its person."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, assert_never

from carillon.delivery.protocol import Accepted, Deferred, Held, Outcome, Rejected, Unsure
from connectors.smtp.mime import Letters
from connectors.smtp.wire import Lost, Reply, Wire
from connectors.transport import reason_of

LOST = "the connection was lost before the mail began"

BAD_MAILBOX = re.compile(r"\b5\.1\.(?:0|1|2|3|6|10)\b")
ENHANCED = re.compile(r"\b[245]\.(\d{1,3})\.\d{1,3}\b")
MAILBOX_OR_POLICY = frozenset({"1", "2", "6", "7"})
"""Address, mailbox, content and policy; mail system (3), network (4) and protocol (5) speak of everybody."""

Stage = Literal["sender", "recipient", "body"]
_STAGES: tuple[Stage, ...] = ("sender", "recipient", "body")
_RSET = b"RSET\r\n"
_END = b".\r\n"
_GOES_AWAY = 421
_GO_ON = 354


@dataclass(slots=True)
class Bag:
    """The mails of one hand-over: several connections take from `left` until it is empty."""

    letters: Letters
    date: str
    left: deque[tuple[int, str]]
    """Row and envelope address of those that have not begun."""
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    stopped: Outcome = field(default_factory=lambda: Deferred(LOST, because="away"))
    """What becomes of those that no connection took."""


def bag_of(letters: Letters, rows: Sequence[int], date: str) -> Bag:
    """The rows to carry; those whose address is none have their outcome already."""
    bag = Bag(letters, date, deque())
    for row in rows:
        written = letters.people.addresses[row]
        if address := _envelope_address(written):
            bag.left.append((row, address))
        else:
            bag.outcomes[row] = Rejected(f"no address: {written[:100]!r}", invalid_address=True)
    return bag


def _envelope_address(address: str) -> str:
    """The address as SMTP takes it, its domain in ASCII; "" for what is none."""
    local, _, domain = address.rpartition("@")
    if not local or not domain or re.search(r"[\s<>\x00-\x1f\x7f]", address):
        return ""
    try:
        return f"{local}@{domain.encode('idna').decode()}"
    except UnicodeError:
        return ""


@dataclass(slots=True)
class _Envelope:
    row: int
    address: str
    commands: tuple[bytes, bytes, bytes]
    replies: list[asyncio.Future[Reply]]
    """To commands that were said ahead; empty where they are said one by one."""


async def carry(wire: Wire, bag: Bag) -> None:
    """Hand over mails from the bag until it is empty or the connection is over."""
    envelope = _begin(wire, bag)
    while envelope is not None:
        envelope = await _one(wire, bag, envelope)


def _begin(wire: Wire, bag: Bag, *before: bytes) -> _Envelope | None:
    """The next envelope, said where the relay need not be waited for."""
    envelope = _take(wire, bag)
    ahead = envelope.commands if envelope and wire.pipelines else ()
    if before or ahead:
        replies = wire.say(*before, *ahead)
        if envelope:
            envelope.replies = replies[len(before) :]
    return envelope


def _take(wire: Wire, bag: Bag) -> _Envelope | None:
    """The next mail that this relay can take at all."""
    while bag.left:
        row, address = bag.left.popleft()
        if not address.isascii() and not wire.takes_utf8:
            bag.outcomes[row] = Rejected("the relay takes ASCII addresses only")
            continue
        utf8 = "" if address.isascii() else " SMTPUTF8"
        sender, to = f"MAIL FROM:<{bag.letters.sender}>{utf8}\r\n", f"RCPT TO:<{address}>\r\n"
        return _Envelope(row, address, (sender.encode(), to.encode(), b"DATA\r\n"), [])
    return None


async def _one(wire: Wire, bag: Bag, envelope: _Envelope) -> _Envelope | None:
    """One mail, and the envelope of the next where this connection goes on."""
    try:
        refusal = await _refusal(wire, envelope)
        if refusal is not None:
            bag.outcomes[envelope.row] = refusal
            return None if wire.is_over else _begin(wire, bag, _RSET)
        wire.check()
    except (Lost, TimeoutError) as error:
        _not_begun(wire, bag, envelope, error)
        return None
    return await _body(wire, bag, envelope.row)


async def _refusal(wire: Wire, envelope: _Envelope) -> Outcome | None:
    """Why the relay does not take this envelope; None where it waits for the body."""
    refusal, said = None, Reply(0, "")
    for number, stage in enumerate(_STAGES):
        [reply] = envelope.replies[number : number + 1] or wire.say(envelope.commands[number])
        said = await wire.hear(reply)
        if said.code == _GOES_AWAY:
            wire.close()
            return refusal or _refused(stage, said)
        if said.code >= 400 and refusal is None:
            refusal = _refused(stage, said)
            if not envelope.replies:
                return refusal
    if refusal is not None and said.code == _GO_ON:  # RFC 2920 §3.1: a lone dot, which is refused or reaches nobody
        [nothing] = wire.say(_END)
        await wire.hear(nothing)
    return refusal


async def _body(wire: Wire, bag: Bag, row: int) -> _Envelope | None:
    """The body, which from its first byte on may have left."""
    following = _take(wire, bag) if wire.pipelines else None
    try:
        body, *ahead = wire.say(bag.letters.render(row, bag.date) + _END, *(following.commands if following else ()))
        said = await wire.hear(body)
    except (Lost, TimeoutError) as error:
        bag.outcomes[row] = Unsure(reason_of(error))
        _give_up(wire, bag, following, error)
        return None
    wire.has_carried = True
    bag.outcomes[row] = Accepted(bag.letters.message_id(row)) if said.code < 400 else _refused("body", said)
    if said.code == _GOES_AWAY:
        _give_up(wire, bag, following)
        return None
    if following is None:
        return _begin(wire, bag)
    following.replies = ahead
    return following


def _not_begun(wire: Wire, bag: Bag, envelope: _Envelope, error: Exception) -> None:
    """Nothing of this mail left: another connection may try, unless this one never was any good."""
    if isinstance(error, Lost) and wire.has_carried:
        _give_up(wire, bag, envelope, error)
        return
    reason = reason_of(error) if isinstance(error, TimeoutError) else LOST
    bag.outcomes[envelope.row] = Deferred(reason, because="away")
    _give_up(wire, bag, None, error)


def _give_up(wire: Wire, bag: Bag, envelope: _Envelope | None, error: Exception | None = None) -> None:
    wire.close()
    if envelope is not None:
        bag.left.appendleft((envelope.row, envelope.address))
    if isinstance(error, TimeoutError):
        # A relay that is only slow is not asked again over the next connection: the lease runs.
        bag.stopped = Deferred(reason_of(error), because="away")
        bag.left.clear()


def _refused(stage: Stage, reply: Reply) -> Outcome:
    """What a refusal means: 4xx is not now; 5xx of the sender holds, of a person or a body rejects that one."""
    said = f"{reply.code} {reply.text}"[:300]
    if reply.code < 500:
        return Deferred(said, because="person") if stage != "sender" and _is_of_one(reply) else Deferred(said)
    match stage:
        case "sender":
            return Held(said)
        case "recipient":
            return Rejected(said, str(reply.code), invalid_address=_is_bad_mailbox(reply))
        case "body":
            return Rejected(said, str(reply.code))
        case _:
            assert_never(stage)


def _is_of_one(reply: Reply) -> bool:
    """Does "not now" speak of this recipient or mail alone (greylisted, a full mailbox), so that others may go on?"""
    if reply.code == _GOES_AWAY:
        return False
    enhanced = ENHANCED.search(reply.text)
    return enhanced[1] in MAILBOX_OR_POLICY if enhanced else reply.code in (450, 452)


def _is_bad_mailbox(reply: Reply) -> bool:
    # 550 is "no such mailbox" and "not by our policy" alike: the enhanced code (RFC 3463) tells them apart.
    if ENHANCED.search(reply.text):
        return bool(BAD_MAILBOX.search(reply.text))
    return reply.code in (550, 551, 553)
