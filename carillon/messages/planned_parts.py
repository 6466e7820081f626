"""How many segments an SMS will have, before anybody's name stands in it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from carillon.kernel.tokens import Keyring
from carillon.messages.content import TAGGED, Content, token_tag
from carillon.messages.rendering import Occasion, render_one
from carillon.messages.sms import segments
from carillon.messages.strung import Refusal

_ANY_RING = Keyring((bytes(32),))
"""A token's length is the same with every key."""

_LIQUID = re.compile(r"(?s)\{%.*?%\}|\{\{.*?\}\}")


def planned_parts(content: Content, countries: Iterable[str] = ()) -> int:
    """The most segments that the words make in one of these countries; what differs by contact counts as its default.

    Where the words cannot do without a contact's values they are counted without them.
    """
    return max(segments(_read(content, country)).count for country in ("", *countries))


def _read(content: Content, country: str) -> str:
    message = render_one(content, {"contact.country": country or None}, Occasion(_ANY_RING, 1, [1]))
    return _LIQUID.sub("", _with_tokens(content)) if isinstance(message, Refusal) else message.text


def _with_tokens(content: Content) -> str:
    text = content.text
    for letter, kind in TAGGED.items():
        text = text.replace(token_tag(content.salt, letter), _ANY_RING.make(kind, 1, 1))
    return text
