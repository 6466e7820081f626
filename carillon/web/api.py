"""The events API in Segment's shapes: track, identify, batch; and ours, consent, and enter for campaigns with an `api` entry.

Basic auth with a write key as the user name. Of a batch every item that can be stored is stored; the answer is 400 with
a reason for each that could not, so a sender that repeats the whole repeats no harm.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from pydantic import ValidationError

from carillon.definition.model import Data
from carillon.kernel.clock import Clock, Micros
from carillon.people.ingest import ArrivedEvent, ingest_events
from carillon.plan.rules import Rules
from carillon.store.engine import Store
from carillon.web.committer import BusyError, Committer
from carillon.web.consents import record
from carillon.web.messages import ENTER, ONE, Consent, Identify, Track, reasons
from carillon.web.people import identify
from carillon.web.shop import EventReader, Refused, adopt_visits, read_enter
from carillon.web.wire import Answer, Receive, Scope, Send, TooLargeError, headers_of, read_body

MOST_ITEMS = 10_000

_NO_KEY = Answer(
    401, b'{"error":"a write key is needed, as the user name of Basic auth"}', "application/json",
    ((b"www-authenticate", b'Basic realm="write key"'),),
)  # fmt: skip


class Api:
    """The ASGI app below `/v1/`."""

    def __init__(
        self, store: Store, write_keys: Sequence[str], rules: Callable[[], Rules], data: Callable[[], Data], clock: Clock
    ) -> None:  # fmt: skip
        self.store, self.clock, self._rules, self._data = store, clock, rules, data
        self._write_keys = [key.encode() for key in write_keys]
        self._events: Committer[ArrivedEvent] = Committer(self._keep, "carillon-events")
        self._reader: tuple[object, object, EventReader] | None = None
        self._app = _routes(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.opens(headers_of(scope).get("authorization", "")):
            await self._app(scope, receive, send)
        else:
            await _NO_KEY.send(send)

    def close(self) -> None:
        """Write what waits and stop the writer thread."""
        self._events.close()

    def opens(self, authorization: str) -> bool:
        """Whether this header bears a write key."""
        scheme, _, encoded = authorization.partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True).partition(b":")[0] if scheme.lower() == "basic" else b""
        except binascii.Error:
            return False
        return any(hmac.compare_digest(given, key) for key in self._write_keys)

    async def take(self, items: Sequence[Any], assumed: str | None) -> tuple[int, list[Refused]]:
        """Store the items that can be stored; how many, and the others with their reasons."""
        now, refused = self.clock.now(), []
        tracked: list[ArrivedEvent] = []
        identified: list[tuple[int, Identify]] = []
        said: list[tuple[int, Consent]] = []
        reader = self._event_reader()
        for index, item in enumerate(items):
            try:
                match _message(item, assumed):
                    case Track() as message:
                        tracked.append(reader.read(message, now))
                    case Identify() as message:
                        identified.append((index, message))
                    case Consent() as message:
                        said.append((index, message))
            except ValueError as error:
                refused.append(Refused(index, _sentence(error)))
        refused += await self._identify(identified, now)
        refused += await self._record(said, now)
        if tracked:
            await self._events.submit(tracked)
        return len(items) - len(refused), sorted(refused, key=lambda one: one.index)

    async def enter(self, body: Any) -> None:
        """Ask for one contact's entry; raises ValueError where that cannot be."""
        message = ENTER.validate_python(body)
        event = await asyncio.to_thread(read_enter, self.store, message, self.clock.now())
        await self._events.submit([event])

    async def _identify(self, identified: list[tuple[int, Identify]], now: Micros) -> list[Refused]:
        if not identified:
            return []
        messages = [message for _, message in identified]
        found = await asyncio.to_thread(identify, self.store, self._rules(), self._data(), messages, now)
        visits = [(m.anonymousId, m.userId) for m, reason in zip(messages, found, strict=True)
                  if m.anonymousId and not reason]  # fmt: skip
        await asyncio.to_thread(adopt_visits, self.store, visits, now)
        return [Refused(index, reason) for (index, _), reason in zip(identified, found, strict=True) if reason]

    async def _record(self, said: list[tuple[int, Consent]], now: Micros) -> list[Refused]:
        if not said:
            return []
        found = await asyncio.to_thread(record, self.store, self._rules(), [message for _, message in said], now)
        return [Refused(index, reason) for (index, _), reason in zip(said, found, strict=True) if reason]

    def _event_reader(self) -> EventReader:
        data, rules = self._data(), self._rules()
        if self._reader is None or self._reader[0] is not data or self._reader[1] is not rules:
            self._reader = (data, rules, EventReader(data, rules))
        return self._reader[2]

    def _keep(self, events: Sequence[ArrivedEvent]) -> None:
        money, now = self._event_reader().money, self.clock.now()
        ingest_events(self.store, events, source="track", history=False, received_at=now, money=money)


def _message(item: Any, assumed: str | None) -> Track | Identify | Consent:
    if isinstance(item, dict) and assumed is not None:
        item = {**item, "type": assumed}
    return ONE.validate_python(item)


def _sentence(error: ValueError) -> str:
    return reasons(error) if isinstance(error, ValidationError) else str(error)


def _routes(api: Api) -> FastAPI:
    app = FastAPI(title="Carillon events", docs_url=None, redoc_url=None, openapi_url=None)

    def answer(status: int, body: object, **headers: str) -> Response:
        return Response(orjson.dumps(body), status, {"cache-control": "no-store", **headers}, "application/json")

    def counted(stored: int, refused: Sequence[Refused]) -> Response:
        return answer(400 if refused else 200, {"stored": stored, "refused": refused})

    async def body_of(request: Request) -> Any:
        return orjson.loads(await read_body(request.scope, request.receive))

    async def take(request: Request, assumed: str) -> Response:
        return counted(*await api.take([await body_of(request)], assumed))

    @app.post("/v1/track")
    async def track(request: Request) -> Response:
        return await take(request, "track")

    @app.post("/v1/identify")
    async def identify_one(request: Request) -> Response:
        return await take(request, "identify")

    @app.post("/v1/consent")
    async def consent(request: Request) -> Response:
        return await take(request, "consent")

    @app.post("/v1/batch")
    async def batch(request: Request) -> Response:
        body = await body_of(request)
        items = body.get("batch") if isinstance(body, dict) else None
        if not isinstance(items, list) or len(items) > MOST_ITEMS:
            return answer(400, {"error": f"needs {{batch: […]}} with at most {MOST_ITEMS} items: nothing was stored"})
        return counted(*await api.take(items, None))

    @app.post("/v1/enter")
    async def enter(request: Request) -> Response:
        try:
            await api.enter(await body_of(request))
        except orjson.JSONDecodeError:
            raise
        except ValueError as error:
            return counted(0, [Refused(0, _sentence(error))])
        return counted(1, [])

    @app.exception_handler(orjson.JSONDecodeError)
    async def no_json(_: Request, error: Exception) -> Response:
        return answer(400, {"error": f"this is no JSON ({error}): nothing was stored"})

    @app.exception_handler(TooLargeError)
    async def too_large(_: Request, __: Exception) -> Response:
        return answer(413, {"error": "larger than 10 MB: nothing was stored"}, connection="close")

    @app.exception_handler(BusyError)
    async def busy(_: Request, __: Exception) -> Response:
        return answer(503, {"error": "too much is waiting to be written"}, **{"retry-after": "30"})

    return app
