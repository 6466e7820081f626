"""SMTP against a real server, with the standard library's e-mail package as the oracle."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from hypothesis import example, given, settings
from hypothesis import strategies as st
from misbehaving import Script, server

from carillon.delivery.protocol import Accepted, Deferred, Held, Outcome, People, Rejected, Sender, SharedEmail, Unsure
from carillon.kernel.clock import SECOND, VirtualClock
from connectors.smtp import connector as smtp
from connectors.smtp.mime import compose

MAIL = SharedEmail(
    sender=Sender(address="hello@acme.example", name="Acmé, Shop", reply_to="help@acme.example"),
    subject="[[0]], der Frühling ist da",
    html="<p>Hallo [[0]]</p>\n<a href='https://t.acme.example/c/[[1]]/1?a=b'>los</a>\n.\n",
    text="Hallo [[0]]\n.\n\nFrom here: https://t.acme.example/c/[[1]]/1?a=b \n",
    headers={"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
)


def people(*addresses: str, name: str = "Zoë = <b>") -> People:
    n = len(addresses)
    return People(
        list(addresses),
        [f"cid{i}" for i in range(n)],
        {"[[0]]": [name] * n, "[[1]]": [f"tok{i}" for i in range(n)]},
        {"List-Unsubscribe": [f"<https://t.acme.example/u/tok{i}>" for i in range(n)]},
    )


class Mailbox:
    """A server's mailbox, which refuses by the local part: `450@`, `550@`, `data554@`."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []
        self.sessions: set[int] = set()

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        self.sessions.add(id(session))
        answers = {
            "450": "450 4.2.1 busy",
            "550": "550 5.1.1 no such user",
            "policy": "550 5.7.1 not by our policy",
            "bare": "550 unknown",
            "421": "421 4.3.2 closing",
        }
        if refusal := answers.get(address.partition("@")[0]):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if envelope.rcpt_tos[0].startswith("data554"):
            return "554 5.6.0 not this content"
        self.mails.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=email.policy.default)))  # type: ignore[arg-type]
        return "250 2.0.0 queued"


async def delivered(url: str, batch: People, times: int) -> list[Outcome]:
    one = smtp.make({"SMTP_URL": url}, clock=VirtualClock(1_764_576_000 * SECOND))
    parcel = one.build(MAIL, batch)
    outcomes = [outcome for _ in range(times) for outcome in await one.hand_over(parcel, range(len(batch)))]
    await one.close()
    return outcomes


def hand_over(box: Mailbox, batch: People, times: int = 1, login: str = "") -> list[Outcome]:
    """Through a server with this mailbox, that lives as long as the call."""

    async def go() -> list[Outcome]:
        def protocol() -> SMTP:
            return SMTP(box, hostname="mx.example", enable_SMTPUTF8=True, loop=asyncio.get_running_loop())

        listening = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
        try:
            port = listening.sockets[0].getsockname()[1]
            return await delivered(f"smtp://{login}127.0.0.1:{port}", batch, times)
        finally:
            listening.close()

    return asyncio.run(go())


def part(mail: EmailMessage, kind: str) -> str:
    found = mail.get_body((kind,))
    assert found is not None
    return str(found.get_content()).replace("\r\n", "\n")


def test_a_mail_arrives_as_it_was_written() -> None:
    """Read by the standard library: both parts, all headers, dots and equals signs."""
    box = Mailbox()
    assert hand_over(box, people("ada@example.com")) == [Accepted("<cid0@acme.example>")]
    [(to, mail)] = box.mails
    assert to == ["ada@example.com"]
    assert {name: str(mail[name]) for name in ("From", "To", "Subject", "Reply-To", "Message-ID", "Date")} == {
        "From": '"Acmé, Shop" <hello@acme.example>',
        "To": "ada@example.com",
        "Subject": "Zoë = <b>, der Frühling ist da",
        "Reply-To": "help@acme.example",
        "Message-ID": "<cid0@acme.example>",
        "Date": "Mon, 01 Dec 2025 08:00:00 +0000",
    }
    assert mail["List-Unsubscribe"] == "<https://t.acme.example/u/tok0>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    filled = {"plain": MAIL.text, "html": MAIL.html}
    for kind, text in filled.items():
        wanted = text.replace("[[0]]", "Zoë = <b>").replace("[[1]]", "tok0")
        assert part(mail, kind).rstrip() == wanted.rstrip()
    assert mail.defects == []


words = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\x00\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"),
    max_size=120,
)


@settings(max_examples=50, deadline=None)
@example(before="." * 80, value="..", after=".\n.x\n\n.")
@given(words, words, words)
def test_any_text_survives_encoding_and_seams(before: str, value: str, after: str) -> None:
    """However pieces and values begin and end, the reader gets their concatenation, and no line is too long."""
    shared = SharedEmail(Sender("a@b.example"), "s", "", f"{before}[#]{after}")
    raw = compose(shared, People(["c@d.example"], ["x"], {"[#]": [value]})).render(0, "now")
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    wanted = f"{before}{value}{after}" if "[#]" not in before + after else None
    if wanted is not None:
        got = mail.get_payload(decode=True).decode()  # type: ignore[union-attr]
        # The end of the body may have gained one line end; lone carriage returns became line ends.
        lines = wanted.replace("\r\n", "\n").replace("\r", "\n")
        assert got.replace("\r\n", "\n") in (lines, lines + "\n")
    assert max(len(line) for line in raw.split(b"\r\n")) <= 78
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\n." not in raw


def test_a_value_cannot_write_headers() -> None:
    """Line breaks in a name stay in the subject, as blanks."""
    raw = compose(MAIL, people("ada@example.com", name="Eve\r\nBcc: all@example.com")).render(0, "now")
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail["Bcc"] is None
    assert str(mail["Subject"]).startswith("Eve Bcc: all@example.com, der")


def test_refusals_are_told_apart_for_each_person() -> None:
    """4xx is not now; 5.1.x is a dead mailbox, 5.7.1 is not; a refused body is its own; the others arrive."""
    box = Mailbox()
    names = ("ada", "450", "550", "policy", "bare", "data554", "grace")
    assert hand_over(box, people(*[f"{name}@example.com" for name in names], "no address", "a@b\r\nX: y")) == [
        Accepted("<cid0@acme.example>"),
        Deferred("450 4.2.1 busy", because="person"),
        Rejected("550 5.1.1 no such user", "550", invalid_address=True),
        Rejected("550 5.7.1 not by our policy", "550"),
        Rejected("550 unknown", "550", invalid_address=True),
        Rejected("554 5.6.0 not this content", "554"),
        Accepted("<cid6@acme.example>"),
        Rejected("no address: 'no address'", invalid_address=True),
        Rejected("no address: 'a@b\\r\\nX: y'", invalid_address=True),
    ]
    assert sorted(to[0] for to, _ in box.mails) == ["ada@example.com", "grace@example.com"]


def test_connections_are_kept_and_few() -> None:
    """40 mails in two hand-overs over at most 8 connections; a server that closes one costs nothing."""
    box = Mailbox()
    batch = people(*[f"p{i}@example.com" for i in range(20)])
    assert {type(outcome) for outcome in hand_over(box, batch, times=2)} == {Accepted}
    assert (len(box.mails), len(box.sessions) <= 8) == (40, True)
    outcomes = hand_over(box, people("421@example.com", "ada@example.com"), times=2)
    assert [type(outcome) for outcome in outcomes] == [Deferred, Accepted, Deferred, Accepted]


def test_addresses_in_other_scripts_arrive() -> None:
    """A domain in its ASCII form; a local part by SMTPUTF8, which this server offers."""
    box = Mailbox()
    assert [type(o) for o in hand_over(box, people("ada@bücher.example", "jörg@example.com"))] == [Accepted] * 2
    assert sorted(to[0] for to, _ in box.mails) == ["ada@xn--bcher-kva.example", "jörg@example.com"]


def talk(answer_to: Callable[[str], Awaitable[str | None]]) -> Script:
    """A server of few words: what it says to a command, or None to hang up."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx.example\r\n")
        while line := (await reader.readline()).decode():
            said = await answer_to(line.strip())
            if said is None:
                return
            if said:
                writer.write(said.encode() + b"\r\n")

    return script


@pytest.mark.parametrize(
    ("hangs_up_at", "outcome"),
    [
        ("EHLO", Deferred),
        ("MAIL", Deferred),
        ("RCPT", Deferred),
        (".", Unsure),
    ],
)
def test_a_lost_connection_is_unsure_only_after_the_mail_began(hangs_up_at: str, outcome: type) -> None:
    """Before DATA nothing left; after the body nobody knows."""

    async def answer(line: str) -> str | None:
        if line.startswith(hangs_up_at):
            return None
        words = {
            "EHLO": "250 mx.example",
            "MAIL": "250 OK",
            "RCPT": "250 OK",
            "DATA": "354 go on",
            "RSET": "250 OK",
            "QUIT": "221 bye",
        }
        return words.get(line[:4], "")

    async def go() -> list[Outcome]:
        async with server(talk(answer)) as port:
            one = smtp.make({"SMTP_URL": f"smtp://127.0.0.1:{port}"})
            outcomes = list(await one.hand_over(one.build(MAIL, people("ada@example.com")), [0]))
            await one.close()
            return outcomes

    assert [type(o) for o in asyncio.run(go())] == [outcome]


def test_a_relay_that_refuses_us_is_held_and_one_that_is_away_is_deferred() -> None:
    """A password that a server does not even ask for is a wrong setting; a free port answers nobody."""
    assert [type(o) for o in hand_over(Mailbox(), people("ada@example.com"), login="me:wrong@")] == [Held]
    assert [type(o) for o in asyncio.run(delivered("smtp://127.0.0.1:9", people("ada@example.com"), 1))] == [Deferred]


@pytest.mark.parametrize(
    ("url", "said"), [("", "SMTP_URL is not set"), ("http://x", "begins with 'http'"), ("smtp://", "names a host")]
)
def test_a_wrong_setting_is_named(url: str, said: str) -> None:
    """With what it should look like."""
    with pytest.raises(ValueError, match=said):
        smtp.make({"SMTP_URL": url})
