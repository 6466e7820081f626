"""The public face: one ASGI app. Pixel, clicks, unsubscribe, preferences and webhooks are answered on the bare wire;
everything below `/v1/` belongs to the events API.

What is acknowledged has been committed. A forged or broken address changes nothing and gets a friendly page.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import parse_qs, urlsplit

from carillon.definition.model import Data
from carillon.feedback.ingest import ingest_feedback
from carillon.feedback.model import Feedback, FeedbackKind, WebhookRequest, WebhookSource
from carillon.kernel.channels import Channel
from carillon.kernel.clock import SECOND, Clock, SystemClock
from carillon.kernel.tokens import Keyring, Token, TokenKind
from carillon.plan.rules import Rules
from carillon.store.engine import Store
from carillon.web.api import Api
from carillon.web.committer import BusyError, Committer
from carillon.web.links import LinkTable
from carillon.web.pages import PROVIDER, Pages
from carillon.web.render import notice
from carillon.web.wire import (
    Answer,
    GoneError,
    Receive,
    Scope,
    Send,
    TooLargeError,
    caller,
    headers_of,
    page,
    read_body,
    redirect,
    spoken,
    text,
)

logger = logging.getLogger(__name__)

PATIENCE_S = 2.0
"""A reader who clicked is sent on after this, stored or not: a lost click is a number, a lost reader is a customer."""

PIXEL = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,"
    b"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)


class WebApp:
    """The ASGI app over a store. `close` writes what waits; uvicorn calls it at shutdown."""

    def __init__(
        self, store: Store, keyring: Keyring, sources: Iterable[WebhookSource], rules: Callable[[], Rules],
        api: Api, clock: Clock,
    ) -> None:  # fmt: skip
        self.store, self.keyring, self.rules, self.clock = store, keyring, rules, clock
        self._sources = {f"/webhooks/{source.path}": source for source in sources}
        self._api = api
        self._links = LinkTable(store, keyring)
        self._reports: Committer[Feedback] = Committer(self._keep, "carillon-feedback")
        self._pages = Pages(store, keyring, rules, clock, self._reports)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case other:
                raise ValueError(f"no {other} here")

    def close(self) -> None:
        """Write what waits and stop the writer threads."""
        self._reports.close()
        self._api.close()

    # ------------------------------------------------------------------------------------------------------ routes

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = self._below_our_address(scope["path"])
        if path.startswith("/v1/"):
            await self._api({**scope, "path": path}, receive, send)
            return
        try:
            answer = await self._answer(path, scope, receive)
        except TooLargeError:
            answer = Answer(413, b"larger than 10 MB: nothing was stored", headers=((b"connection", b"close"),))
        except GoneError:
            return
        except BusyError:
            answer = Answer(503, b"too much is waiting to be written", headers=((b"retry-after", b"30"),))
        except Exception:
            logger.exception("%s %s was not answered", scope["method"], path.split("/")[1:2])
            answer = page(503, notice(self.rules(), "", "sorry"))
        await answer.send(send, head=scope["method"] == "HEAD")

    async def _answer(self, path: str, scope: Scope, receive: Receive) -> Answer:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if source := self._sources.get(path):
            return await self._webhook(source, scope, receive) if method == "POST" else _only("POST")
        match path.split("/"), method:
            case ["", "o", token], "GET":
                return await self._pixel(token, scope)
            case ["", "c" | "s" as kind, token, n], "GET":
                return await self._click(kind, token, n, scope)
            case ["", "u", token], "GET":
                return await self._pages.unsubscribe_page(token, scope) or self._not_found(scope)
            case ["", "u", token], "POST":
                return await self._pages.unsubscribe(token, scope, receive) or self._not_found(scope)
            case ["", "p", token], "GET" | "POST":
                return await self._pages.preferences(token, scope, receive) or self._not_found(scope)
            case ["", "y", token], "GET" | "POST":
                return await self._pages.confirmation(token, scope, receive) or self._not_found(scope)
            case ["", "o" | "u" | "p" | "y", _] | ["", "c" | "s", _, _], _:
                return _only("GET, HEAD, POST")
            case ["", "health"], "GET":
                return await asyncio.to_thread(self._health)
            case ["", "robots.txt"], "GET":
                return text(200, "User-agent: *\nDisallow: /\n")
            case _:
                return self._not_found(scope)

    def _below_our_address(self, path: str) -> str:
        prefix = urlsplit(self.rules().public_url).path.rstrip("/")
        return path.removeprefix(prefix) if prefix and path.startswith(f"{prefix}/") else path

    def _not_found(self, scope: Scope) -> Answer:
        return page(404, notice(self.rules(), spoken(scope), "not_found"))

    def _health(self) -> Answer:
        with self.store.read() as connection:
            connection.exec_driver_sql("SELECT 1 FROM events.intake LIMIT 1").all()
        return text(200, "ok")

    # ---------------------------------------------------------------------------------------------- opens and clicks

    async def _pixel(self, raw: str, scope: Scope) -> Answer:
        token = self._token(raw, TokenKind.OPEN)
        if token is None:
            return self._not_found(scope)
        await self._patiently([self._seen(FeedbackKind.OPENED, raw, Channel.EMAIL, scope)])
        return Answer(200, PIXEL, "image/gif")

    async def _click(self, kind: str, raw: str, n: str, scope: Scope) -> Answer:
        wanted, channel = (TokenKind.CLICK, Channel.EMAIL) if kind == "c" else (TokenKind.SMS_LINK, Channel.SMS)
        token = self._token(raw, wanted)
        if token is None or not (n.isascii() and n.isdecimal() and len(n) <= 4):
            return self._not_found(scope)
        to = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20).get("to", [None])[0]
        url = await asyncio.to_thread(self._links.target, token, int(n), to)
        if url is None:
            return self._not_found(scope)
        if scope["method"] != "HEAD":  # scanners and previews ask for the head alone
            await self._patiently([self._seen(FeedbackKind.CLICKED, raw, channel, scope, url=url, link=int(n))])
        return redirect(url)

    def _seen(
        self, kind: FeedbackKind, raw: str, channel: Channel, scope: Scope, *, url: str = "", link: int | None = None
    ) -> Feedback:
        at = self.clock.now() // SECOND * SECOND
        agent = headers_of(scope).get("user-agent", "")
        return Feedback(
            kind, at, channel, PROVIDER, "\n".join((raw, kind, str(at), url, agent)), cid=raw,
            machine=not agent, url=url, link=link, user_agent=agent, ip=caller(scope),
        )  # fmt: skip

    async def _patiently(self, reports: Sequence[Feedback]) -> None:
        try:
            await asyncio.wait_for(self._reports.submit(reports), PATIENCE_S)
        except Exception as error:  # the reader is sent on all the same
            logger.warning("an open or click was not stored: %r", error)

    # ---------------------------------------------------------------------------------------------------- webhooks

    async def _webhook(self, source: WebhookSource, scope: Scope, receive: Receive) -> Answer:
        body = await read_body(scope, receive)
        request = WebhookRequest(self._called_url(scope), headers_of(scope), body)
        if not source.verify(request):
            return text(403, "the signature does not fit: nothing was stored")
        try:
            reports = source.parse(request, self.clock.now())
        except ValueError as error:
            logger.warning("%s sent what is no webhook of theirs: %s", source.path, error)
            return text(400, "this is no webhook that we know: nothing was stored")
        if reports:
            await self._reports.submit(reports)
        return Answer(200, source.answer.encode(), source.answer_type)

    def _called_url(self, scope: Scope) -> str:
        # What a proxy says of itself is never asked: the provider signed the address that we gave it.
        public = urlsplit(self.rules().public_url)
        path = scope.get("raw_path", scope["path"].encode()).decode("latin-1").partition("?")[0]
        prefix = public.path.rstrip("/")
        path = path if path.startswith(f"{prefix}/") else prefix + path
        query = scope["query_string"].decode("latin-1")
        return f"{public.scheme}://{public.netloc}{path}{'?' if query else ''}{query}"

    # ------------------------------------------------------------------------------------------------------ inner

    def _token(self, raw: str, kind: TokenKind) -> Token | None:
        token = self.keyring.read(raw)
        return token if token is not None and token.kind is kind else None

    def _keep(self, reports: Sequence[Feedback]) -> None:
        ingest_feedback(self.store, reports, self.keyring, self.clock.now(), source="web")

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            else:
                await asyncio.to_thread(self.close)
                await send({"type": "lifespan.shutdown.complete"})
                return


def make_app(
    store: Store, keyring: Keyring, sources: Iterable[WebhookSource] = (), *, rules: Callable[[], Rules],
    data: Callable[[], Data], write_keys: Sequence[str] = (), clock: Clock | None = None,
) -> WebApp:  # fmt: skip
    """The web over a store: `sources` are the providers' webhooks, `write_keys` open the events API (none: closed).

    `rules` and `data` are asked at each request, because `apply` changes them while the web runs; the caller keeps
    them at hand and gives the same object until it changes.
    """
    clock = clock or SystemClock()
    return WebApp(store, keyring, sources, rules, Api(store, write_keys, rules, data, clock), clock)


def _only(methods: str) -> Answer:
    return Answer(405, b"not this way", headers=((b"allow", methods.encode()),))
