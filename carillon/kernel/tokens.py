"""Tokens: 28 URL-safe characters that say which send a link, pixel or callback belongs to, and that only we can make.

A token is 21 bytes: version and kind (1), node (4), enrolment (7), seal (9). 21 is a multiple of 3, so base64 has no
spare bits and every flipped bit is another token. One keyed hash seals a person's tokens of seven kinds: each takes its
own 9 bytes of the 64, so a click token says nothing about the unsubscribe token. The next seven have a hash of their own.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

VERSION = 1
LENGTH = 28
_BYTES, _SEAL = 21, 9
MAX_NODE, MAX_ENROLMENT = 2**32 - 1, 2**56 - 1


class TokenKind(Enum):
    """What a token is good for. The number is stable for ever: it stands in mails that were sent."""

    MESSAGE = 0
    """Our id of the send (`cid`) in custom_args and callbacks."""
    CLICK = 1
    OPEN = 2
    UNSUBSCRIBE = 3
    SMS_LINK = 4
    PREFERENCES = 5
    BROWSER = 6
    CONFIRM = 7


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says once its seal is proved."""

    kind: TokenKind
    node: int
    enrolment: int


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys that seal tokens: the newest signs, all of `keys` prove; two valid at once let a key be changed.

    `retired` keys still prove unsubscribe tokens, because an unsubscribe link is valid for ever.
    """

    keys: tuple[bytes, ...]
    retired: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.keys) <= 2:
            raise ValueError("a keyring has one key or two: the newest and the one before")
        if any(not 16 <= len(key) <= 64 for key in (*self.keys, *self.retired)):
            raise ValueError("a key has 16 to 64 bytes")

    def make(self, kind: TokenKind, node: int, enrolment: int) -> str:
        """The token of one send."""
        return self.make_all((kind,), node, (enrolment,))[kind][0]

    def make_all(
        self, kinds: Collection[TokenKind], node: int, enrolments: Sequence[int]
    ) -> dict[TokenKind, list[str]]:
        """The tokens of a batch, one column a kind; raises ValueError for ids beyond 4 and 7 bytes."""
        if not 0 <= node <= MAX_NODE or any(not 0 <= e <= MAX_ENROLMENT for e in (*_ends(enrolments),)):
            raise ValueError(f"node {node} or an enrolment does not fit into a token")
        subject = node.to_bytes(4, "big")
        bodies = [enrolment.to_bytes(7, "big") for enrolment in enrolments]
        unsealed = _laid_out(subject, b"".join(bodies), len(bodies))
        seals = {one: _seals(_hasher(self.keys[0], subject, one), bodies) for one in set(map(_hash_of, kinds))}
        return {kind: _column(kind, unsealed, seals[_hash_of(kind)]) for kind in kinds}

    def read(self, token: str) -> Token | None:
        """What the token says, or None where we did not make it."""
        raw = _decode(token)
        if raw is None or raw[0] >> 4 != VERSION or raw[0] & 15 >= len(TokenKind):
            return None
        kind = TokenKind(raw[0] & 15)
        keys = (*self.keys, *self.retired) if kind is TokenKind.UNSUBSCRIBE else self.keys
        if not any(_proves(key, kind, raw) for key in keys):
            return None
        return Token(kind, int.from_bytes(raw[1:5], "big"), int.from_bytes(raw[5:12], "big"))

    def seal_url(self, url: str) -> str:
        """12 characters that prove we wrote this target: for links whose target is carried in the link itself."""
        return _url_seal(self.keys[0], url)

    def proves_url(self, url: str, seal: str) -> bool:
        """Whether one of the valid keys sealed this target."""
        return any(hmac.compare_digest(_url_seal(key, url).encode(), seal.encode()) for key in self.keys)


def _ends(enrolments: Sequence[int]) -> tuple[int, ...]:
    return (min(enrolments), max(enrolments)) if enrolments else ()


_KINDS_A_HASH = 64 // _SEAL
_PERSONS = (b"carillon-tok-v1", b"carillon-tok-v1b")


def _hash_of(kind: TokenKind) -> int:
    return kind.value // _KINDS_A_HASH


def _place(kind: TokenKind) -> int:
    """Where the kind's seal begins in its hash."""
    return kind.value % _KINDS_A_HASH * _SEAL


def _hasher(key: bytes, subject: bytes, hashed: int) -> hashlib.blake2b:
    return hashlib.blake2b(subject, key=key, digest_size=64, person=_PERSONS[hashed])


def _digest(hasher: hashlib.blake2b, body: bytes) -> bytes:
    own = hasher.copy()
    own.update(body)
    return own.digest()


def _head(kind: TokenKind) -> int:
    return VERSION << 4 | kind.value


def _seals(hasher: hashlib.blake2b, bodies: Sequence[bytes]) -> bytes:
    """The hashes of all, 64 bytes each."""
    found = []
    for body in bodies:  # `_digest` without its call
        own = hasher.copy()
        own.update(body)
        found.append(own.digest())
    return b"".join(found)


def _laid_out(subject: bytes, bodies: bytes, count: int) -> bytearray:
    """The bytes of all tokens without kind and seal. Each place of a token is laid out for all people at once."""
    raw = bytearray(_BYTES * count)
    for place, byte in enumerate(subject, 1):
        raw[place::_BYTES] = bytes([byte]) * count
    for at in range(7):
        raw[5 + at :: _BYTES] = bodies[at::7]
    return raw


def _column(kind: TokenKind, unsealed: bytearray, seals: bytes) -> list[str]:
    raw = bytearray(unsealed)
    raw[::_BYTES] = bytes([_head(kind)]) * (len(raw) // _BYTES)
    for at in range(_SEAL):
        raw[_BYTES - _SEAL + at :: _BYTES] = seals[_place(kind) + at :: 64]
    text = urlsafe_b64encode(raw).decode("ascii")
    return [text[start : start + LENGTH] for start in range(0, len(text), LENGTH)]


def _decode(token: str) -> bytes | None:
    if len(token) != LENGTH or not token.isascii():
        return None
    if not token.replace("-", "a").replace("_", "a").isalnum():
        return None
    return urlsafe_b64decode(token)


def _proves(key: bytes, kind: TokenKind, raw: bytes) -> bool:
    at = _place(kind)
    expected = _digest(_hasher(key, raw[1:5], _hash_of(kind)), raw[5:12])[at : at + _SEAL]
    return hmac.compare_digest(expected, raw[12:_BYTES])


def _url_seal(key: bytes, url: str) -> str:
    digest = hashlib.blake2b(url.encode(), key=key, digest_size=_SEAL, person=b"carillon-url-v1").digest()
    return urlsafe_b64encode(digest).decode("ascii")
