"""A compiled message: what is stored, hashed, and rendered for a batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from carillon.kernel.channels import Channel
from carillon.kernel.tokens import TokenKind

FORMAT = 1

TAGGED = {
    "c": TokenKind.CLICK,
    "o": TokenKind.OPEN,
    "u": TokenKind.UNSUBSCRIBE,
    "s": TokenKind.SMS_LINK,
    "p": TokenKind.PREFERENCES,
    "b": TokenKind.BROWSER,
    "y": TokenKind.CONFIRM,
}
"""The letter in a tag and in a link's path → the kind of token that takes its place."""


def token_tag(salt: str, letter: str) -> str:
    """The tag that stands where a person's token of that kind goes."""
    return f"-{salt}{letter}-"


@dataclass(frozen=True, slots=True)
class Link:
    """Slot n of `/c/<token>/<n>`: where it leads. A carried link has a target of its own for each person."""

    url: str
    """With UTM parameters; for a carried link the template, for people to read."""
    carried: bool = False


@dataclass(frozen=True)
class Content:
    """One message in one language and arm, ready to be rendered. Subject, HTML and text are Liquid."""

    channel: Channel
    language: str
    arm: str
    text: str
    subject: str = ""
    html: str = ""
    links: tuple[Link, ...] = ()
    constants: Mapping[str, Any] = field(default_factory=dict)
    """`t`, `values`, `brand`, `links`, `currency`, `locale`: the same for everybody."""
    utm: Mapping[str, str] = field(default_factory=dict)
    """What is added to carried targets."""
    public_url: str = ""
    salt: str = ""
    """In every tag; made so that it stands nowhere in the message."""
    is_marketing: bool = True
    paths: tuple[str, ...] = ()
    """The columns that rendering asks for: `contact.first_name`, `trigger.products`."""
    required_paths: tuple[str, ...] = ()
    """Paths that are named without a default; `[]` goes into lists: `trigger.products[].name`."""
    money_paths: tuple[str, ...] = ()
    """Paths whose values are cents in the store and amounts in a message: `trigger.total`, `trigger.products[].price`."""
    per_person_because: str = ""
    """Where the template keeps a state across its parts, so that it is rendered whole: "line 12: cycle"."""
    can_skip: bool = False
    """It holds `{% skip %}`: ghosts must be rendered too."""
    to: str = ""
    """Of `notify`: the mailbox, where `to_path` names none."""
    to_path: str = ""
    """Of `notify`: the field of the contact that names the mailbox, `contact.store_manager`."""

    @cached_property
    def hash(self) -> str:
        """32 characters over everything above: equal contents are one row."""
        return hashlib.blake2b(self.to_json().encode(), digest_size=16, person=b"carillon-cnt-v1").hexdigest()

    def __hash__(self) -> int:
        return hash(self.hash)

    def to_json(self) -> str:
        """The stored form (`content.compiled`)."""
        return json.dumps({"format": FORMAT, **_plain(self)}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))

    def links_json(self) -> str:
        """The stored links (`content.links`), which the click redirect reads without the content."""
        return json.dumps([asdict(link) for link in self.links], ensure_ascii=False, separators=(",", ":"))


def _plain(content: Content) -> dict[str, Any]:
    told = {name: getattr(content, name) for name in Content.__dataclass_fields__ if name != "links"}
    # Left out where they say nothing: the contents that were stored before keep their hash.
    told = {name: value for name, value in told.items() if value or name not in ("to", "to_path")}
    return told | {
        "channel": content.channel.value,
        "links": [asdict(link) for link in content.links],
    }


def content_from_json(stored: str) -> Content:
    """The content that `to_json` wrote; raises ValueError for another format."""
    raw = json.loads(stored)
    if raw.pop("format", None) != FORMAT:
        raise ValueError("this content was compiled by another version of Carillon: apply the campaign again")
    raw |= {name: tuple(raw[name]) for name in ("paths", "required_paths", "money_paths") if name in raw}
    return Content(**raw | {"channel": Channel(raw["channel"]), "links": links_from(raw["links"])})


def links_from(raw: list[dict[str, Any]]) -> tuple[Link, ...]:
    """Links from their stored form."""
    return tuple(Link(**link) for link in raw)
