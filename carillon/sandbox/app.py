"""The sandbox's routes: two providers' APIs, the inbox, and the handles of the simulation."""

from __future__ import annotations

import asyncio
import base64
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from carillon.kernel.clock import Micros, from_micros, to_micros
from carillon.sandbox import inbox, sendgrid, twilio
from carillon.sandbox.reactions import Undelivered, advance, live
from carillon.sandbox.world import Fault, World

LOOPBACK = ["127.0.0.1", "localhost", "[::1]", "testserver"]
"""A page elsewhere must not reach the sandbox by a name of its own that points here."""

Answer = Callable[[Request], Awaitable[Response]]


def make_app(world: World) -> Starlette:
    """The ASGI app of this world; people react in the background unless its clock is virtual."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        living = asyncio.create_task(live(world)) if world.virtual is None and world.webhooks else None
        yield
        if living:
            living.cancel()
            with suppress(asyncio.CancelledError):
                await living

    app = Starlette(routes=_routes(), middleware=[Middleware(TrustedHostMiddleware, LOOPBACK)], lifespan=lifespan)
    app.state.world = world
    return app


def _routes() -> list[BaseRoute]:
    account = "/2010-04-01/Accounts/{account}/Messages"
    return [
        Route("/v3/mail/send", mail_send, methods=["POST"]),
        Route("/v3/scopes", scopes),
        Route("/2010-04-01/Accounts/{account}.json", account_show),
        Route(f"{account}.json", message_create, methods=["POST"]),
        Route(f"{account}/{{sid}}.json", message_show),
        Route("/sandbox/keys", keys),
        Route("/sandbox/clock", move_clock, methods=["POST"]),
        Route("/sandbox/advance", advance_to, methods=["POST"]),
        Route("/sandbox/faults", add_faults, methods=["POST"]),
        Route("/sandbox/empty", empty, methods=["POST"]),
        *inbox.ROUTES,
    ]


def _world(request: Request) -> World:
    world: World = request.app.state.world
    return world


async def mail_send(request: Request) -> Response:
    """SendGrid: POST /v3/mail/send."""
    world = _world(request)
    passes, headers = world.meter.take() if world.meter.per_second else (True, {})
    body = await _body(request, sendgrid.MAX_BODY)
    if body is None:
        return Response(sendgrid.NGINX_413, 413, media_type="text/html")
    if refusal := _unauthorised(request, world):
        return refusal
    if not passes:
        return _errors(429, [sendgrid.complaint("too many requests")], headers)
    try:
        mail = orjson.loads(body)
    except orjson.JSONDecodeError:
        mail = None
    if found := sendgrid.complaints(mail):
        return _errors(400, found, headers)
    return await _with_fault(
        world,
        lambda: Response(
            b"",
            202,
            {"X-Message-Id": sendgrid.keep(world.store, mail, body, _now(request, world)), **headers},
        ),
    )


async def scopes(request: Request) -> Response:
    """SendGrid: GET /v3/scopes, what the key may do."""
    return _unauthorised(request, _world(request)) or JSONResponse({"scopes": ["mail.send"]})


def _unauthorised(request: Request, world: World) -> Response | None:
    given = request.headers.get("authorization", "")
    if hmac.compare_digest(given.encode(), f"Bearer {world.keys.api_key}".encode()):
        return None
    said = "The provided authorization grant is invalid, expired, or revoked" if given else "authorization required"
    return _errors(401, [sendgrid.complaint(said)], {})


def _errors(status: int, errors: list[sendgrid.Complaint], headers: dict[str, str]) -> Response:
    return JSONResponse({"errors": errors}, status, headers)


async def account_show(request: Request) -> Response:
    """Twilio: GET /2010-04-01/Accounts/{AccountSid}.json."""
    world = _world(request)
    shown = {"sid": world.keys.account_sid, "status": "active", "type": "Trial", "friendly_name": "sandbox"}
    return _not_this_account(request, world) or JSONResponse(shown)


async def message_create(request: Request) -> Response:
    """Twilio: POST /2010-04-01/Accounts/{AccountSid}/Messages.json."""
    world = _world(request)
    body = await _body(request, sendgrid.MAX_BODY) or b""
    if refusal := _not_this_account(request, world):
        return refusal
    form = twilio.form_of(body)
    if code := twilio.fault_of(form):
        return _twilio_error(code, 400, to=form.get("To", ""), sender=form.get("From", ""))

    def accept() -> Response:
        sid = twilio.keep(world.store, form, body, _now(request, world))
        return Response(_sms_json(world, sid), 201, media_type="application/json")

    return await _with_fault(world, accept)


async def message_show(request: Request) -> Response:
    """Twilio: GET /2010-04-01/Accounts/{AccountSid}/Messages/{Sid}.json."""
    world = _world(request)
    if refusal := _not_this_account(request, world):
        return refusal
    shown = _sms_json(world, request.path_params["sid"])
    return Response(shown, media_type="application/json") if shown else _twilio_error(20404, 404)


def _sms_json(world: World, sid: str) -> bytes:
    row = world.store.row(
        "SELECT r.ref, r.at, r.body, m.status FROM request r JOIN message m ON m.request_id = r.id"
        " WHERE r.ref = ? AND r.channel = 'sms'",
        (sid,),
    )
    return twilio.message_json(row, world.keys.account_sid) if row else b""


def _not_this_account(request: Request, world: World) -> Response | None:
    wanted = base64.b64encode(f"{world.keys.account_sid}:{world.keys.auth_token}".encode())
    given = request.headers.get("authorization", "").encode()
    if not hmac.compare_digest(given, b"Basic " + wanted):
        return _twilio_error(20003, 401)
    return None if request.path_params["account"] == world.keys.account_sid else _twilio_error(20404, 404)


def _twilio_error(code: int, status: int, **words: str) -> Response:
    return JSONResponse(twilio.complaint(code, status, **words), status)


async def _with_fault(world: World, accept: Callable[[], Response]) -> Response:
    if not world.faults:
        return accept()
    fault = world.faults.popleft()
    answer = accept() if fault.stored or not fault.status else None
    await asyncio.sleep(fault.delay_s)
    return answer if answer and not fault.status else Response(b"", fault.status)


async def _body(request: Request, limit: int) -> bytes | None:
    """The request's body; None where it is longer than `limit` (the rest is read and forgotten)."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
    return b"".join(parts) if size <= limit else None


def _now(request: Request, world: World) -> Micros:
    given = request.headers.get("x-sandbox-now")
    return _instant(given) if given else world.clock.now()


def _instant(text: object) -> Micros:
    try:
        return to_micros(datetime.fromisoformat(str(text)))
    except ValueError as fault:
        raise HTTPException(400, f"not an instant with its zone: {text!r}") from fault


async def keys(request: Request) -> Response:
    """What a connector needs to use this sandbox, as settings."""
    world = _world(request)
    return JSONResponse(world.keys.settings(str(request.base_url).rstrip("/")))


async def move_clock(request: Request) -> Response:
    """POST {"now": instant}: the virtual clock goes forward, and nobody reacts yet."""
    clock = _world(request).virtual
    if clock is None:
        raise HTTPException(409, "this sandbox lives in real time")
    try:
        clock.move_to(_instant((await request.json())["now"]))
    except ValueError as fault:
        raise HTTPException(409, str(fault)) from fault
    return JSONResponse({"now": from_micros(clock.now()).isoformat()})


async def advance_to(request: Request) -> Response:
    """POST {"to": instant}: everything that people do until then is told, in order; answers with the counts."""
    world, to = _world(request), _instant((await request.json())["to"])
    try:
        told = await advance(world, to)
    except Undelivered as fault:
        return JSONResponse({"error": str(fault)}, 502)
    except ValueError as fault:
        raise HTTPException(409, str(fault)) from fault
    return JSONResponse(told)


async def add_faults(request: Request) -> Response:
    """POST [{"status": 500, "stored": true, "delay_s": 0}, …]: what the next sends meet."""
    try:
        faults = [Fault(**fault) for fault in await request.json()]
    except TypeError as fault:
        raise HTTPException(400, str(fault)) from fault
    _world(request).faults.extend(faults)
    return JSONResponse({"faults": len(_world(request).faults)})


async def empty(request: Request) -> Response:
    """Forget every message; asked for by a form of the inbox only (a page elsewhere cannot send this header)."""
    if request.headers.get("x-sandbox") != "empty":
        raise HTTPException(403, "say X-Sandbox: empty")
    _world(request).store.empty()
    return Response(status_code=204)
