"""The one way to a provider's HTTP API: aiohttp, in httpx's words, and what each failure means.

httpx takes 3 ms of CPU a request at 64 connections, aiohttp 0.15 ms, and each of httpx's answers is a ring that holds its
request's megabyte until it is looked for. But aiohttp's errors do not say whether a request left, which is the one thing
that a send must know: so every one of them is raised as the httpx error of its meaning, and `meaning` reads from a table
what that says about the send.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

import aiohttp
import httpx
import yarl

from carillon.delivery.protocol import Accepted, Deferred, Divide, Held, Outcome, Rejected, Unsure

SAME_MEANING: tuple[tuple[type[BaseException], type[httpx.TransportError]], ...] = (
    # Order matters: aiohttp's classes inherit across meanings. Everything that leaves no byte behind stands first.
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),  # refused, DNS, TLS, proxy
    (aiohttp.ServerFingerprintMismatch, httpx.ConnectError),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol),
    # From here on the request may have left.
    (TimeoutError, httpx.ReadTimeout),  # aiohttp's SocketTimeoutError, and the bound on the whole exchange
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.ClientConnectionResetError, httpx.WriteError),
    (aiohttp.ClientError, httpx.ReadError),
    (OSError, httpx.ReadError),
)

WHOLE_EXCHANGE_S = 28.0
"""A hand-over ends within 30 s: who finds less than that left of its lease does not begin one."""

TIMEOUT = httpx.Timeout(20.0, connect=5.0, pool=5.0)


@dataclass(frozen=True, slots=True)
class Answer:
    """A provider's answer, read whole; its names are httpx's."""

    status_code: int
    reason_phrase: str
    headers: Mapping[str, str]
    """Names in any case."""
    content: bytes

    @property
    def is_client_error(self) -> bool:
        return 400 <= self.status_code < 500


class Session:
    """One aiohttp session, opened with its first exchange; every failure is raised as httpx's error of its meaning."""

    def __init__(self, connections: int) -> None:
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._pool = asyncio.Semaphore(connections)

    async def exchange(
        self, method: str, url: yarl.URL, headers: Mapping[str, str], content: bytes, limits: Mapping[str, float | None]
    ) -> Answer:
        """One request and its answer."""
        await self._take_connection(limits.get("pool"))
        try:
            return await self._ask(method, url, headers, content, limits)
        except (aiohttp.ClientError, OSError) as error:
            raise _same_meaning(error)(str(error) or type(error).__name__) from error
        finally:
            self._pool.release()

    async def _take_connection(self, patience_s: float | None) -> None:
        """A pool of our own: aiohttp calls waiting for its pool and connecting by the same name."""
        if not self._pool.locked():
            await self._pool.acquire()
            return
        try:
            await asyncio.wait_for(self._pool.acquire(), patience_s)
        except TimeoutError as full:
            raise httpx.PoolTimeout("no free connection in time") from full

    async def _ask(
        self, method: str, url: yarl.URL, headers: Mapping[str, str], content: bytes, limits: Mapping[str, float | None]
    ) -> Answer:
        async with self._open().request(
            method,
            url,
            headers=headers,
            data=content or None,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=WHOLE_EXCHANGE_S, connect=limits.get("connect"), sock_read=limits.get("read")
            ),
        ) as answer:
            content = await answer.read()
            return Answer(answer.status, answer.reason or "", answer.headers, content)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, keepalive_timeout=15),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


class Endpoint:
    """One address that messages are posted to."""

    def __init__(
        self, url: str, *, connections: int, headers: Mapping[str, str], auth: tuple[str, str] | None = None,
        timeout: httpx.Timeout = TIMEOUT,
    ) -> None:  # fmt: skip
        self._url = yarl.URL(_checked(url))
        self._session = Session(connections)
        login = {} if auth is None else {"Authorization": aiohttp.encode_basic_auth(*auth)}
        self._headers = {"User-Agent": "carillon", **login, **headers}
        self._limits = timeout.as_dict()

    async def post(self, content: bytes) -> Answer:
        """Post, once; raises httpx's transport errors. A redirect is an answer as well."""
        return await self._session.exchange("POST", self._url, self._headers, content, self._limits)

    async def close(self) -> None:
        await self._session.close()


def _same_meaning(error: BaseException) -> type[httpx.TransportError]:
    return next(theirs for ours, theirs in SAME_MEANING if isinstance(error, ours))


def _checked(url: str) -> str:
    if httpx.URL(url).scheme not in ("http", "https") or not httpx.URL(url).host:
        raise ValueError(f"not an http(s) address: {url!r}")
    return url


class Meaning(Enum):
    """What an error or a status says about the messages that were being handed over."""

    ACCEPTED = auto()
    NOT_SENT = auto()
    """Nothing left, and later it may."""
    REFUSED = auto()
    """Nothing left, and the same request never will: its content or a person in it is at fault."""
    CONNECTOR_REFUSED = auto()
    """Nothing left, and no other message would: key, account or address of the API are at fault."""
    UNKNOWN = auto()
    """It may have left: never repeat it blindly."""


MEANING_OF_ERROR: dict[type[Exception], Meaning] = {
    httpx.ConnectError: Meaning.NOT_SENT,
    httpx.ConnectTimeout: Meaning.NOT_SENT,
    httpx.PoolTimeout: Meaning.NOT_SENT,
    httpx.ProxyError: Meaning.NOT_SENT,
    httpx.UnsupportedProtocol: Meaning.CONNECTOR_REFUSED,
    httpx.ReadTimeout: Meaning.UNKNOWN,
    httpx.WriteTimeout: Meaning.UNKNOWN,
    httpx.ReadError: Meaning.UNKNOWN,
    httpx.WriteError: Meaning.UNKNOWN,
    httpx.CloseError: Meaning.UNKNOWN,
    httpx.RemoteProtocolError: Meaning.UNKNOWN,
    httpx.LocalProtocolError: Meaning.UNKNOWN,
    httpx.DecodingError: Meaning.UNKNOWN,
}

MEANING_OF_STATUS: dict[int, Meaning] = {
    400: Meaning.REFUSED,
    401: Meaning.CONNECTOR_REFUSED,
    402: Meaning.CONNECTOR_REFUSED,
    403: Meaning.CONNECTOR_REFUSED,
    # A wrong path, method or media type is a wrong address of the API: halving a batch on it would end in
    # every single person being rejected.
    404: Meaning.CONNECTOR_REFUSED,
    405: Meaning.CONNECTOR_REFUSED,
    408: Meaning.UNKNOWN,
    413: Meaning.REFUSED,
    415: Meaning.CONNECTOR_REFUSED,
    422: Meaning.REFUSED,
    429: Meaning.NOT_SENT,
}


def meaning(what: int | Exception) -> Meaning:
    """What a status or an error means for the send; whatever the tables do not name is unknown, or holds a 3xx/4xx."""
    if isinstance(what, Exception):
        return next(
            (MEANING_OF_ERROR[kind] for kind in type(what).__mro__ if kind in MEANING_OF_ERROR), Meaning.UNKNOWN
        )
    if 200 <= what < 300:
        return Meaning.ACCEPTED
    return MEANING_OF_STATUS.get(what, Meaning.CONNECTOR_REFUSED if 300 <= what < 500 else Meaning.UNKNOWN)


def outcome(
    what: int | Exception,
    *,
    people: int,
    reason: str,
    ref: str = "",
    code: str = "",
    wait_s: float | None = None,
    rest_s: float | None = None,
) -> Outcome:
    """The outcome, in delivery's words, of a request that carried so many people.

    `wait_s`: for how long a provider that is asked too much wants none; `rest_s`: the same from one that has just taken.
    """
    match meaning(what):
        case Meaning.ACCEPTED:
            return Accepted(ref, rest_s)
        case Meaning.NOT_SENT:
            return Deferred(reason, wait_s, "away" if isinstance(what, Exception) else "busy")
        case Meaning.REFUSED:
            return Divide(reason) if people > 1 else Rejected(reason, code)
        case Meaning.CONNECTOR_REFUSED:
            return Held(reason)
        case Meaning.UNKNOWN:
            return Unsure(reason)


def reason_of(error: Exception) -> str:
    """An error in one line: its kind, and what it says."""
    return f"{type(error).__name__}: {error}"[:300]
