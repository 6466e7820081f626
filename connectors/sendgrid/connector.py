"""SendGrid: e-mail, up to 1,000 people a request, one personalization a person.

Settings: `SENDGRID_API_KEY`; `SENDGRID_BASE_URL` where it is not https://api.sendgrid.com (EU subusers:
https://api.eu.sendgrid.com). The shared part of a batch is encoded once and a text a person is made ready before
the claim, so that between claim and first byte only bytes are joined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from carillon.delivery.protocol import Maker, Outcome, Parcel, People, Shared
from carillon.kernel.clock import SECOND, Clock, SystemClock
from connectors import transport
from connectors.sendgrid.envelope import Envelope
from connectors.sendgrid.making import CAPABILITIES, Making, Sealing
from connectors.sendgrid.sealed import Sealed


class SendGrid:
    """One SendGrid account."""

    capabilities = CAPABILITIES

    def __init__(self, mails: transport.Endpoint, name: str, clock: Clock) -> None:
        self.name, self._mails, self._clock = name, mails, clock
        self._making = Making(name)

    def build(self, message: Shared, people: People, valid_for_s: int | None = None) -> Envelope:
        """The texts of the people and the shared rest; raises ValueError for what SendGrid never takes."""
        return self._making.build(message, people, valid_for_s)

    def apart(self) -> Maker:
        """Builds the same in another process."""
        return Sealing(self._making)

    async def hand_over(self, parcel: Parcel, rows: Sequence[int]) -> Sequence[Outcome]:
        """One request for all these rows, and its one outcome."""
        if not isinstance(parcel, Envelope | Sealed):
            raise TypeError(f"{self.name} built no {type(parcel).__name__}")
        try:
            answer = await self._mails.post(parcel.body(rows))
        except Exception as error:  # whatever it is: the table says what it means, and the unnamed is unsure
            return (transport.outcome(error, people=len(rows), reason=transport.reason_of(error)),)
        return (self._outcome(answer, len(rows)),)

    def _outcome(self, answer: transport.Answer, people: int) -> Outcome:
        return transport.outcome(
            answer.status_code,
            people=people,
            reason=f"{answer.status_code} {_complaint(answer)}".strip(),
            ref=answer.headers.get("x-message-id", ""),
            code=str(answer.status_code),
            wait_s=_wait_s(answer.headers, self._clock),
            rest_s=_rest_s(answer.headers, self._clock),
        )

    async def close(self) -> None:
        await self._mails.close()


def make(settings: Mapping[str, str], *, name: str = "sendgrid", clock: Clock | None = None) -> SendGrid:
    """The connector of the account that the settings name; raises ValueError that says what is missing."""
    key = settings.get("SENDGRID_API_KEY", "")
    if not key:
        raise ValueError("SENDGRID_API_KEY is not set (SendGrid: Settings → API Keys; it needs the right Mail Send)")
    api = (settings.get("SENDGRID_BASE_URL") or "https://api.sendgrid.com").rstrip("/")
    mails = transport.Endpoint(
        f"{api}/v3/mail/send",
        connections=CAPABILITIES.concurrency,
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    return SendGrid(mails, name, clock or SystemClock())


def _complaint(answer: transport.Answer) -> str:
    """What SendGrid complains of, each error with its field; an nginx page (413) says nothing worth keeping."""
    try:
        errors = orjson.loads(answer.content)["errors"]
        return "; ".join(
            f"{error.get('field')}: {error.get('message')}" if error.get("field") else str(error.get("message"))
            for error in errors
        )[:300]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return answer.reason_phrase


def _rest_s(headers: Mapping[str, str], clock: Clock) -> float | None:
    """Until the allowance is renewed, where this request has used it up."""
    return _wait_s(headers, clock) if headers.get("x-ratelimit-remaining", "").strip() == "0" else None


def _wait_s(headers: Mapping[str, str], clock: Clock) -> float | None:
    # X-RateLimit-Reset is an instant in unix seconds; Retry-After is documented nowhere, obeyed where it comes.
    for name, since in (("retry-after", 0.0), ("x-ratelimit-reset", clock.now() / SECOND)):
        try:
            return max(1.0, float(headers[name]) - since)
        except (KeyError, ValueError):
            continue
    return None
