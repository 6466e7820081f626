"""The inbox in the browser: what arrived, as each person sees it, and what they did with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jinja2
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from carillon.kernel.clock import Micros, from_micros
from carillon.sandbox.letters import Letter, letter
from carillon.sandbox.sendgrid import mail_of
from carillon.sandbox.store import Store
from carillon.sandbox.twilio import form_of, segments
from carillon.sandbox.world import World

PAGE = 40
PAGES = Path(__file__).parent / "pages"

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; frame-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
)
"""A mail may show itself and open its links in a new window; it runs nothing and fetches nothing, not even its own
pixel: to look at a mail here is not to open it."""

WORDS = {
    "processed": "sent", "queued": "sent", "sent": "sent", "delivered": "delivered", "open": "opened",
    "machine_open": "opened by a mail proxy", "click": "clicked", "sms_click": "clicked",
    "machine_click": "clicked by a scanner", "bounce": "bounced", "soft_bounce": "bounced (mailbox full)",
    "bounced": "bounced", "blocked": "blocked", "undelivered": "undelivered", "unsubscribe": "unsubscribed",
    "spamreport": "complained", "stop": "answered STOP", "order": "ordered",
}  # fmt: skip
"""Reactions and statuses in a marketer's words."""

TONE = {
    "delivered": "good", "open": "good", "click": "best", "sms_click": "best", "order": "best", "bounced": "bad",
    "blocked": "bad", "undelivered": "bad", "unsubscribe": "warn", "spamreport": "bad", "stop": "warn",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the list shows."""

    channel: str = ""
    category: str = ""
    q: str = ""
    page: int = 0
    open: int = 0

    def where(self) -> tuple[str, list[Any]]:
        """The condition in SQL, and its arguments."""
        terms: list[str] = ["1"]
        args: list[Any] = []
        if self.channel:
            terms.append("r.channel = ?")
            args.append(self.channel)
        if self.category:
            terms.append("instr(r.categories, ?) > 0")
            args.append(f"\n{self.category}\n")
        if self.q:
            terms.append("(instr(lower(m.address), ?) > 0 OR instr(r.words, ?) > 0)")
            args += [self.q.lower()] * 2
        return " AND ".join(terms), args

    def url(self, **other: Any) -> str:
        """The page's address with some filters changed; a changed filter begins at the first page."""
        kept = {"channel": self.channel, "category": self.category, "q": self.q, "page": self.page, "open": self.open}
        kept |= {"page": 0, "open": 0} if "open" not in other and "page" not in other else {}
        return "/?" + urlencode({name: value for name, value in {**kept, **other}.items() if value})


def wanted(query: Mapping[str, str]) -> Wanted:
    """The filters in a query; what is no number is none."""

    def number(name: str) -> int:
        text = query.get(name, "")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 12 else 0

    words = {name: query.get(name, "").strip()[:200] for name in ("channel", "category", "q")}
    return Wanted(**words, page=number("page"), open=number("open"))


async def index(request: Request) -> Response:
    """The inbox: list, filters and the opened message."""
    world: World = request.app.state.world
    want = wanted(request.query_params)
    where, args = want.where()
    joined = "FROM message m JOIN request r ON r.id = m.request_id"
    found = world.store.rows(f"SELECT count(*) AS n {joined} WHERE {where}", args)[0]["n"]
    rows = world.store.rows(
        f"SELECT m.id, m.n, m.address, m.status, r.ref, r.at, r.channel, r.subject, r.categories {joined}"
        f" WHERE {where} ORDER BY r.at DESC, m.id DESC LIMIT {PAGE} OFFSET ?",
        [*args, want.page * PAGE],
    )
    page = _page("inbox.html").render(
        want=want,
        found=found,
        total=_count(world.store),
        last_page=max(0, (found - 1) // PAGE),
        messages=[_entry(world.store, row) for row in rows],
        channels=world.store.rows(f"SELECT r.channel, count(*) AS n {joined} GROUP BY 1 ORDER BY 1"),
        categories=_categories(world.store),
        opened=_opened(world.store, want.open) if want.open else None,
        world=world,
        now=_clock(world.clock.now()),
        settings=world.keys.settings(str(request.base_url).rstrip("/")),
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-store"})


async def show_html(request: Request) -> Response:
    """One person's HTML, alone, for the frame."""
    world: World = request.app.state.world
    opened = _opened(world.store, min(request.path_params["id"], 1 << 62))
    if opened is None or opened["letter"] is None:
        raise HTTPException(404, "no such mail")
    images = " http: https:" if request.query_params.get("images") else ""
    policy = {"Content-Security-Policy": MAIL_POLICY + images, "Referrer-Policy": "no-referrer"}
    return HTMLResponse('<base target="_blank">' + opened["letter"].html, headers=policy)


async def count(request: Request) -> Response:
    """How many messages there are; the page asks every few seconds."""
    return JSONResponse({"total": _count(request.app.state.world.store)})


async def asset(request: Request) -> Response:
    """The page's own style and script."""
    name = request.path_params["name"]
    kinds = {"inbox.css": "text/css", "inbox.js": "text/javascript"}
    if name not in kinds:
        raise HTTPException(404)
    return Response((PAGES / name).read_bytes(), media_type=kinds[name], headers={"Cache-Control": "no-cache"})


ROUTES: list[BaseRoute] = [
    Route("/", index),
    Route("/messages/count", count),
    Route("/messages/{id:int}/html", show_html),
    Route("/assets/{name}", asset),
]


def _count(store: Store) -> int:
    total: int = store.rows("SELECT count(*) AS n FROM message")[0]["n"]
    return total


def _categories(store: Store) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for row in store.rows(
        "SELECT r.categories, count(*) AS n FROM request r JOIN message m ON m.request_id = r.id"
        " WHERE r.categories <> '' GROUP BY 1"
    ):
        for category in row["categories"].split("\n")[1:-1]:
            counts[category] = counts.get(category, 0) + row["n"]
    return sorted(counts.items())


def _entry(store: Store, row: sqlite3.Row) -> dict[str, Any]:
    mail = row["channel"] == "email"
    return {
        "id": row["id"],
        "channel": row["channel"],
        "address": row["address"],
        "subject": _letter(store, row).subject if mail else row["subject"],
        "status": WORDS.get(row["status"], row["status"]),
        "tone": TONE.get(row["status"], "calm"),
        "at": _clock(row["at"]),
        "categories": row["categories"].split("\n")[1:-1],
    }


def _opened(store: Store, message_id: int) -> dict[str, Any] | None:
    row = store.row(
        "SELECT m.id, m.n, m.address, m.cid, m.status, r.at, r.channel, r.ref, r.sender,"
        " r.subject, r.categories, r.body FROM message m JOIN request r ON r.id = m.request_id WHERE m.id = ?",
        (message_id,),
    )
    if row is None:
        return None
    mail = row["channel"] == "email"
    told = store.rows(
        "SELECT at, kind, detail FROM reaction WHERE message_id = ? AND told = 1 ORDER BY at, id", (row["id"],)
    )
    return {
        **_entry(store, row),
        "letter": _letter(store, row) if mail else None,
        "form": None if mail else form_of(row["body"]),
        "segments": 0 if mail else segments(row["subject"]),
        "sender": row["sender"],
        "ref": row["ref"],
        "cid": row["cid"],
        "reactions": [
            (
                _clock(r["at"]),
                WORDS.get(r["kind"], r["kind"]),
                _detail(r["kind"], r["detail"]),
                TONE.get(r["kind"], "calm"),
            )
            for r in told
        ],
    }


def _detail(kind: str, detail: str) -> str:
    if kind == "order":
        return f"{int(detail) / 100:.2f}"
    return detail if kind in ("click", "machine_click", "sms_click", "undelivered") else ""


def _letter(store: Store, row: sqlite3.Row) -> Letter:
    return letter(_mail(store, row["ref"]), row["n"])


@lru_cache(16)
def _mail(store: Store, ref: str) -> dict[str, Any]:
    row = store.row("SELECT body FROM request WHERE ref = ?", (ref,))
    if row is None:
        raise HTTPException(404, "no such mail")
    return mail_of(row["body"])


def _clock(at: Micros) -> str:
    return f"{from_micros(at):%a %d %b %Y, %H:%M:%S}"


@lru_cache(1)
def _pages() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )


def _page(name: str) -> jinja2.Template:
    return _pages().get_template(name)
