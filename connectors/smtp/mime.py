"""Mails as bytes: what all people of a batch share is encoded once, values once for each distinct text.

Quoted-printable allows a soft line break ("=" at the end of a line) anywhere, so fixed pieces and values are encoded
apart and joined by one; decoded, nothing of the seam is left. A boundary with "=_" cannot occur in such a text. A line
that begins with a dot would have to be stuffed on its way (RFC 5321 §4.5.2), which means to read each mail once more: so
none does.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.header import Header
from email.utils import formataddr

from carillon.delivery.protocol import People, SharedEmail
from connectors.filling import Cut, cut

LONGEST_PLAIN_LINE = 900
"""SMTP ends lines at 998; a longer header is encoded, which folds it."""

SOFT_BREAK = b"=\r\n"


@dataclass(frozen=True, slots=True)
class Part:
    """A text or HTML body: its fixed pieces encoded, and each tag's column encoded for every person."""

    head: bytes
    pieces: tuple[bytes, ...]
    columns: tuple[Sequence[bytes], ...]

    def render(self, row: int) -> bytes:
        """The part for one person."""
        chunks = [self.pieces[0]]
        for column, piece in zip(self.columns, self.pieces[1:], strict=True):
            chunks += (column[row], piece)
        return self.head + _joined(chunks)


@dataclass(frozen=True, slots=True)
class Letters:
    """A batch ready to be written out, person by person."""

    people: People
    sender: str
    subject: Cut
    shared_head: bytes
    opening: bytes
    parts: tuple[Part, ...]
    between: bytes
    closing: bytes

    def __len__(self) -> int:
        return len(self.people)

    def message_id(self, row: int) -> str:
        """Ours, so that an answer or a bounce tells which send it is about."""
        cid = re.sub(r"[^A-Za-z0-9._~-]", "-", self.people.cids[row])
        return f"<{cid}@{self.sender.rpartition('@')[2]}>"

    def render(self, row: int, date: str) -> bytes:
        """The whole mail of one person."""
        own = {name: column[row] for name, column in self.people.headers.items()}
        lines = [
            header_line("To", self.people.addresses[row]),
            header_line("Subject", self.subject.fill(self.people.values, row)),
            header_line("Message-ID", self.message_id(row)),
            header_line("Date", date),
            *[header_line(name, value) for name, value in own.items()],
        ]
        body = self.between.join([part.render(row) for part in self.parts])
        return b"".join((*lines, self.shared_head, self.opening, body, self.closing))


def compose(message: SharedEmail, people: People) -> Letters:
    """Cut and encode a mail for all its people; raises ValueError for a mail without content or sender."""
    contents = [("plain", message.text), ("html", message.html)]
    parts = tuple(_part(kind, text, people) for kind, text in contents if text)
    if not parts or not message.sender.address:
        raise ValueError("a mail needs a sender and a text or an HTML part")
    opening, between, closing = _frame(message) if len(parts) > 1 else (b"", b"", b"")
    return Letters(
        people=people,
        sender=message.sender.address,
        subject=cut(message.subject, list(people.values)),
        shared_head=_shared_head(message, people),
        opening=opening,
        parts=parts,
        between=between,
        closing=closing,
    )


def header_line(name: str, value: str) -> bytes:
    """One header with its line end; line breaks in the value become blanks, else a name could write headers."""
    value = re.sub(r"[\r\n\x00]+", " ", value)
    if value.isascii() and len(value) < LONGEST_PLAIN_LINE:
        return f"{name}: {value}\r\n".encode()
    encoded = Header(value, "utf-8", header_name=name, maxlinelen=76).encode(linesep="\r\n")
    return f"{name}: {encoded}\r\n".encode()


def quoted(text: str) -> bytes:
    """A text in quoted-printable, lines ending in CRLF, none of them beginning with a dot."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").encode()
    encoded = binascii.b2a_qp(plain, istext=True)
    if encoded.startswith(b".") or b"\n." in encoded:
        encoded = b"\n".join(map(_without_dot, encoded.split(b"\n")))
    return encoded.replace(b"\n", b"\r\n")


def _without_dot(line: bytes) -> bytes:
    """The line with the dots at its beginning encoded, broken where it would grow longer than 76."""
    broken = b""
    while line.startswith(b"."):
        broken += b"=2E=\n"
        line = line[1:]
    return broken + line


def _joined(chunks: Sequence[bytes]) -> bytes:
    out: list[bytes] = []
    for chunk in chunks:
        if not chunk:
            continue
        if out and not out[-1].endswith(b"\n"):
            out.append(SOFT_BREAK)
        out.append(chunk)
    return b"".join(out) + b"\r\n"


def _part(kind: str, text: str, people: People) -> Part:
    shared = cut(text, list(people.values))
    encoded = {tag: _column(people.values[tag]) for tag in dict.fromkeys(shared.tags)}
    head = f"Content-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return Part(head.encode(), shared.encoded(quoted), tuple(encoded[tag] for tag in shared.tags))


def _column(texts: Sequence[str]) -> Sequence[bytes]:
    known = {text: quoted(text) for text in set(texts)}
    return [known[text] for text in texts]


def _shared_head(message: SharedEmail, people: People) -> bytes:
    own = {name.lower() for name in people.headers}
    shared: Mapping[str, str] = {name: text for name, text in message.headers.items() if name.lower() not in own}
    reply = [header_line("Reply-To", message.sender.reply_to)] if message.sender.reply_to else []
    return b"".join([
        header_line("From", formataddr((message.sender.name, message.sender.address))),
        *reply,
        *[header_line(name, text) for name, text in shared.items()],
        b"MIME-Version: 1.0\r\n",
    ])  # fmt: skip


def _frame(message: SharedEmail) -> tuple[bytes, bytes, bytes]:
    boundary = "=_" + hashlib.blake2b((message.text + message.html).encode(), digest_size=12).hexdigest()
    opening = f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n--{boundary}\r\n'
    return opening.encode(), f"--{boundary}\r\n".encode(), f"--{boundary}--\r\n".encode()
