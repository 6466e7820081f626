"""Over a relay that pipelines, each reply still belongs to its own mail; what a connection took with it is told exactly."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from misbehaving import server
from test_smtp import MAIL, people

from carillon.delivery.protocol import Accepted, Deferred, Held, Outcome, Rejected, Unsure
from connectors.smtp import connector as smtp
from connectors.smtp import wire

ANSWERS = {
    "busy": (b"450 4.2.1 busy", Deferred),
    "dead": (b"550 5.1.1 no such user", Rejected),
    "body": (b"250 OK", Rejected),
    "fine": (b"250 OK", Accepted),
}


class Relay:
    """Reads commands as they come and answers in their order; says 354 even where nobody is left, as RFC 2920 allows."""

    def __init__(self, hangs_up_after: int | None = None, *, says_354: bool = True, is_mute: bool = False) -> None:
        self.taken: list[str] = []
        self.connections = 0
        self._hangs_up_after, self._says_354, self._is_mute = hangs_up_after, says_354, is_mute

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(b"220 relay\r\n")
        to, carried = "", 0
        while line := (await reader.readline()).decode():
            match line[:4].upper():
                case "EHLO":
                    writer.write(b"250-relay\r\n250 PIPELINING\r\n")
                case "RCPT":
                    name = line.partition("<")[2].partition("@")[0]
                    said, _ = ANSWERS[name.partition(".")[0]]
                    to = name if said.startswith(b"250") else ""
                    writer.write(said + b"\r\n")
                case "DATA" if not to and not self._says_354:
                    writer.write(b"503 5.5.1 nobody to send to\r\n")
                case "DATA":
                    writer.write(b"354 go on\r\n")
                    body = await reader.readuntil(b"\r\n.\r\n") if to else await reader.readline()
                    carried += 1
                    if self._is_mute:
                        await reader.read()
                        return
                    if to and carried == self._hangs_up_after:
                        return
                    writer.write(self._end(to, body))
                    to = ""
                case _:
                    writer.write(b"250 OK\r\n")

    def _end(self, to: str, body: bytes) -> bytes:
        if not to:
            return b"554 5.5.1 no valid recipients\r\n"
        if to.startswith("body"):
            return b"554 5.6.0 not this content\r\n"
        assert f"To: {to}@".encode() in body  # the body is that of its envelope
        self.taken.append(to)
        return b"250 2.0.0 queued\r\n"


def hand_over(relay: Relay, names: Sequence[str], lanes: int = 1) -> list[Outcome]:
    async def go() -> list[Outcome]:
        async with server(relay.talk) as port:
            one = smtp.make({"SMTP_URL": f"smtp://127.0.0.1:{port}"})
            one._gate = asyncio.Semaphore(lanes)  # so many connections at once
            parcel = one.build(MAIL, people(*[f"{name}@example.com" for name in names]))
            outcomes = list(await one.hand_over(parcel, range(len(names))))
            await one.close()
            return outcomes

    return asyncio.run(go())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(sorted(ANSWERS)), min_size=1, max_size=12), st.booleans(), st.sampled_from([1, 3]))
def test_each_reply_belongs_to_its_mail(kinds: list[str], says_354: bool, lanes: int) -> None:
    """Whatever the relay refuses in between, whoever it takes is accepted, and each of them arrives once."""
    names = [f"{kind}.{number}" for number, kind in enumerate(kinds)]
    relay = Relay(says_354=says_354)
    outcomes = hand_over(relay, names, lanes)
    assert [type(outcome) for outcome in outcomes] == [ANSWERS[kind][1] for kind in kinds]
    assert sorted(relay.taken) == sorted(name for name in names if name.startswith("fine"))


@pytest.mark.parametrize("after", [2, 3])
def test_what_follows_a_lost_mail_is_sent_over_another_connection(after: int) -> None:
    """The mail under way is unsure; the envelope behind it had no body yet, so it goes again, and nobody twice."""
    relay = Relay(hangs_up_after=after)
    names = [f"fine.{number}" for number in range(5)]
    outcomes = hand_over(relay, names)
    unsure = [i for i, outcome in enumerate(outcomes) if isinstance(outcome, Unsure)]
    assert unsure == list(range(after - 1, 5, after))
    assert relay.taken == [name for i, name in enumerate(names) if i not in unsure]
    assert relay.connections == 1 + len(unsure) - (unsure[-1] == 4)


def test_a_relay_that_says_nothing_keeps_nobody_waiting_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """One mail waits for the answer and is unsure; the others are put off at once, since the lease runs."""
    monkeypatch.setattr(wire, "ANSWER_WITHIN_S", 0.2)
    outcomes = hand_over(Relay(is_mute=True), ["fine.0", "fine.1", "fine.2"])
    assert [type(outcome) for outcome in outcomes] == [Unsure, Deferred, Deferred]


def test_a_relay_that_refuses_the_sender_is_held() -> None:
    """5xx to MAIL speaks of us: no mail leaves."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 relay\r\n")
        while line := await reader.readline():
            words = {b"EHLO": b"250-relay\r\n250 PIPELINING", b"MAIL": b"550 5.7.1 not you", b"DATA": b"503 bad order"}
            writer.write(words.get(line[:4], b"503 bad order" if line.startswith(b"RCPT") else b"250 OK") + b"\r\n")

    async def go() -> Sequence[Outcome]:
        async with server(talk) as port:
            one = smtp.make({"SMTP_URL": f"smtp://127.0.0.1:{port}"})
            outcomes = await one.hand_over(one.build(MAIL, people("ada@example.com")), [0])
            await one.close()
            return outcomes

    assert asyncio.run(go()) == [Held("550 5.7.1 not you")]
