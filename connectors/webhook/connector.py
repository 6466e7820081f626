"""Webhooks: a system of ours is called, one signed POST a person.

Setting: `WEBHOOK_SECRET`. Each call bears `Carillon-Signature: t=SECONDS,v1=HEX`, where HEX is the HMAC-SHA256 of
`SECONDS.BODY` under the secret, and `Idempotency-Key`: the send's own id, the same whenever the call is repeated by a
person's decision. Who receives it must answer within seconds; 2xx is "taken", and what was lost on the way is unsure.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import yarl

from carillon.delivery.protocol import (
    BODY,
    Accepted,
    Capabilities,
    Deferred,
    Outcome,
    Parcel,
    People,
    Rejected,
    Shared,
    SharedCall,
    Unsure,
)
from carillon.kernel.channels import Channel
from carillon.kernel.clock import SECOND, Clock, SystemClock
from connectors import transport

CAPABILITIES = Capabilities(
    channel=Channel.WEBHOOK,
    whole=False,
    max_people=500,
    max_bytes=1_000_000,
    concurrency=16,
    substitutes=False,
    validity=False,
    feedback=False,
)

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
LIMITS: Mapping[str, float | None] = {"pool": 5.0, "connect": 5.0, "read": 15.0}
"""Seconds; a call that is answered later may have been taken."""

_DEFERRED = frozenset({429, 503})
_UNKNOWN = frozenset({408})


@dataclass(frozen=True, slots=True)
class Calls:
    """A batch ready to go: where to, and each person's body and key."""

    url: yarl.URL
    bodies: tuple[bytes, ...]
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.bodies)


class Webhook:
    """All our systems, each at the address of its line in workspace.yaml."""

    capabilities = CAPABILITIES

    def __init__(self, secret: bytes, name: str, clock: Clock) -> None:
        self.name, self._secret, self._clock = name, secret, clock
        self._session = transport.Session(CAPABILITIES.concurrency)

    def build(self, message: Shared, people: People, valid_for_s: int | None = None) -> Calls:
        """Every body and key; raises ValueError for another message, or an address that could be listened to."""
        if not isinstance(message, SharedCall):
            raise ValueError(f"{self.name} makes calls only")
        bodies = tuple(body.encode() for body in people.values[BODY])
        if too_long := next((body for body in bodies if len(body) > CAPABILITIES.max_bytes), None):
            raise ValueError(f"a body of {len(too_long):,} bytes; a call has at most {CAPABILITIES.max_bytes:,}")
        return Calls(_checked(message.sender.url), bodies, tuple(people.cids))

    async def hand_over(self, parcel: Parcel, rows: Sequence[int]) -> Sequence[Outcome]:
        """One call a row, as many at once as connections allow, and one outcome a row."""
        if not isinstance(parcel, Calls):
            raise TypeError(f"{self.name} built no {type(parcel).__name__}")
        return await asyncio.gather(*[self._post(parcel.url, parcel.bodies[row], parcel.keys[row]) for row in rows])

    async def _post(self, url: yarl.URL, body: bytes, key: str) -> Outcome:
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "carillon",
            "Idempotency-Key": key,
            "Carillon-Signature": sign(self._secret, body, self._clock.now() // SECOND),
        }
        try:
            answer = await self._session.exchange("POST", url, headers, body, LIMITS)
        except Exception as error:  # whatever it is: the table says what it means, and the unnamed is unsure
            return transport.outcome(error, people=1, reason=transport.reason_of(error))
        return _outcome(answer)

    async def close(self) -> None:
        await self._session.close()


def make(settings: Mapping[str, str], *, name: str = "webhook", clock: Clock | None = None) -> Webhook:
    """The connector with the secret that the settings name; raises ValueError where it is missing."""
    secret = settings.get("WEBHOOK_SECRET", "")
    if len(secret) < 16:
        raise ValueError("WEBHOOK_SECRET is not set, or too short: calls are signed with it (openssl rand -hex 32)")
    return Webhook(secret.encode(), name, clock or SystemClock())


def sign(secret: bytes, body: bytes, at_s: int) -> str:
    """The value of `Carillon-Signature`."""
    seal = hmac.new(secret, f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={seal}"


def _checked(url: str) -> yarl.URL:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ValueError(f"a webhook is called by https, or on this machine: {url!r}")
    return yarl.URL(url)


def _outcome(answer: transport.Answer) -> Outcome:
    """What one system answers for one person: a refusal is that person's, and never holds the calls of other systems."""
    status, reason = answer.status_code, f"{answer.status_code} {answer.reason_phrase}"[:300]
    if 200 <= status < 300:
        return Accepted("")
    if status in _DEFERRED:
        return Deferred(reason, _wait_s(answer))
    if 300 <= status < 500 and status not in _UNKNOWN:  # a redirection is not followed: the address is wrong
        return Rejected(reason, str(status))
    return Unsure(reason)


def _wait_s(answer: transport.Answer) -> float | None:
    try:
        return max(1.0, float(answer.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
