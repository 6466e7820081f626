"""What is asked of a step that reaches one of ours: no consent, cap, quiet hour or suppression of the contact."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from carillon.definition.model import Recipient
from carillon.kernel.channels import Channel
from carillon.plan.model import MessageNode
from carillon.plan.rules import Rules
from carillon.policy.words import SkipReason
from carillon.store import tables as t
from carillon.store.json import text_at

Column = sa.ColumnElement[Any]


def recipient_sql(to: Recipient | None) -> Column:
    """The mailbox that `notify` writes to for a contact; NULL where there is none."""
    address: Column = sa.literal(to.address) if to is not None and to.address else sa.cast(sa.null(), sa.String())
    if to is None or not to.field:
        return address
    own = sa.func.nullif(sa.func.trim(text_at(t.contact.c.attrs, (to.field,))), "")
    return sa.func.coalesce(own, address)


def reasons_of_ours(node: MessageNode, rules: Rules) -> list[tuple[Column, SkipReason]]:
    """No mailbox, or in staging one that nobody may write to; a webhook has neither."""
    if node.channel is not Channel.NOTIFY:
        return []
    address = recipient_sql(node.to)
    reasons: list[tuple[Column, SkipReason]] = [
        (sa.func.coalesce(address.not_like("%_@_%"), sa.true()), SkipReason.NO_ADDRESS)
    ]
    if Channel.EMAIL in rules.allow_list:
        reasons.append((sa.not_(is_allowed(address, rules.allow_list[Channel.EMAIL])), SkipReason.EXCLUDED))
    return reasons


def is_allowed(address: Column, allowed: tuple[str, ...]) -> sa.ColumnElement[bool]:
    """Whether an address is one of these, or of a domain that is written `@acme.example`."""
    domains = [sa.func.lower(address).endswith(entry, autoescape=True) for entry in allowed if entry.startswith("@")]
    return sa.or_(sa.func.lower(address).in_([entry for entry in allowed if not entry.startswith("@")]), *domains)
