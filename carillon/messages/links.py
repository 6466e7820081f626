"""Links: what becomes a tracked slot, where a slot leads, and which targets a click may follow.

A link without personal parts is slot n; its target stays with the content. A link with Liquid in it has a target of its
own for each person: the rendered target is carried in the link, sealed by our key (docs/decisions/0007), so that a
click needs no contact, no template and no attribute that has changed meanwhile, and nobody can make us redirect
elsewhere.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from carillon.kernel.tokens import Keyring
from carillon.messages.content import Link, links_from

_SAFE_IN_URL = "!#$%&'()*+,/:;=?@[]~"


def with_utm(url: str, utm: Mapping[str, str]) -> str:
    """The URL with those parameters that it does not have yet, before its fragment."""
    parts = urlsplit(url)
    there = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    added = urlencode([(name, value) for name, value in utm.items() if value and name not in there], quote_via=quote)
    query = "&".join(part for part in (parts.query, added) if part)
    return urlunsplit(parts._replace(query=query))


def is_web(url: str) -> bool:
    """Whether it is a full http or https address."""
    try:
        parts = urlsplit(url)
        return parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def carrier(prefix: str, utm: Mapping[str, str], keyring: Keyring) -> Callable[[int, str], str]:
    """Writes the carried link of slot n; raises ValueError for a target that is no web address."""

    def carry(n: int, target: str) -> str:
        url = quote(target.strip(), safe=_SAFE_IN_URL)
        if not is_web(url):
            raise ValueError(f"a link leads to {target.strip()[:80]!r}, which is no web address")
        url = with_utm(url, utm)
        return f"{prefix}{n}?to={_packed(url)}.{keyring.seal_url(url)}"

    return carry


def _packed(url: str) -> str:
    return urlsafe_b64encode(url.encode()).decode("ascii").rstrip("=")


def resolve(links: Sequence[Link] | str, n: int, to: str | None, keyring: Keyring) -> str | None:
    """Where the click on slot n leads, or None: only links that we wrote are followed.

    `links` is the content's table or its stored JSON; `to` is the query parameter of that name.
    """
    table = links_from(json.loads(links)) if isinstance(links, str) else links
    if not 0 <= n < len(table):
        return None
    if not table[n].carried:
        return table[n].url
    return _carried_target(to, keyring) if to else None


def _carried_target(to: str, keyring: Keyring) -> str | None:
    packed, _, seal = to.partition(".")
    try:
        url = urlsafe_b64decode(packed + "=" * (-len(packed) % 4)).decode()
    except (NotBase64, ValueError):
        return None
    return url if keyring.proves_url(url, seal) and is_web(url) else None


# ---------------------------------------------------------------- finding

ANCHOR = re.compile(r"""(?six)(<(?:a|area|v:\w+)\b (?:[^<>"']|"[^"]*"|'[^']*')*? \shref=) ("[^"]*"|'[^']*')""")
"""Links in HTML, in Outlook's conditional comments too."""

IN_TEXT = re.compile(r"""https?://[^\s<>"'\[\]()]+(?<![.,;:!?])""")
"""Addresses in plain text; a full stop or comma behind one is not part of it."""

UNTRACKED = ("mailto:", "tel:", "sms:", "#", "data:", "cid:")
