"""`carillon consent show CONTACT` and `carillon consent withdraw CONTACT`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from carillon.kernel.counting import counted

if TYPE_CHECKING:
    from carillon.consent.permissions import Pair
    from carillon.consent.record import Said


@click.group("consent")
def consent() -> None:
    """What a contact said about being written to."""


@consent.command("show")
@click.argument("contact")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def show(contact: str, as_json: bool) -> None:
    """Everything CONTACT (the shop's id) said, with evidence, and whether the addresses are suppressed."""
    from carillon.consent.record import history
    from carillon.kernel.clock import from_micros

    with _store().read() as connection:
        contact_id = _contact_id(connection, contact)
        said = history(connection, contact_id)
        suppressed = _suppressions(connection, contact_id)
        pending = _pending(connection, said)
    if as_json:
        import json

        rows = [row._asdict() | {"at": from_micros(row.at).isoformat()} for row in said]
        click.echo(json.dumps({"contact": contact, "said": rows, "pending": pending, "suppressed": suppressed}))
        return
    for row in said:
        click.echo(f"{from_micros(row.at):%Y-%m-%d %H:%M} UTC  {row.state:<9} {row.topic} by {row.channel}")
        click.echo(f"{'':21}from {row.source}: {row.evidence or 'no evidence was given'}")
    if not said:
        click.echo(f"{contact} never said anything about consent.")
    for topic, channel in pending:
        click.echo(f"Pending: {topic} by {channel} wants a second yes, which has not come.")
    for address in suppressed:
        click.echo(f"Suppressed: {address['address']} ({address['reason']})")


@consent.command("withdraw")
@click.argument("contact")
@click.option("--topic", help="Only this topic; default: all marketing topics.")
@click.option("--channel", type=click.Choice(["email", "sms", "push", "whatsapp"]), help="Only this channel.")
@click.option("--evidence", required=True, help="How we know, such as: letter of 3 May, case 4711.")
def withdraw_command(contact: str, topic: str | None, channel: str | None, evidence: str) -> None:
    """Record that CONTACT (the shop's id) wants no more messages."""
    from carillon.cli.import_ import workspace_of
    from carillon.consent.record import withdraw
    from carillon.consent.standing import rules_of
    from carillon.kernel.channels import Channel
    from carillon.kernel.clock import SystemClock
    from carillon.kernel.problems import did_you_mean
    from carillon.settings import read_settings

    settings = read_settings()
    workspace, _ = workspace_of(settings.workspace, settings.env)
    if topic is not None and topic not in workspace.topics:
        raise click.UsageError(f"no topic {topic!r}; {did_you_mean(topic, workspace.topics)}")
    with _store().write("core") as connection:
        contact_id = _contact_id(connection, contact)
        n = withdraw(
            connection, workspace, rules_of(workspace), [contact_id], topic=topic,
            channel=Channel(channel) if channel else None, source="operator", evidence=evidence, at=SystemClock().now(),
        )  # fmt: skip
    click.echo(
        f"Recorded {counted(n, 'time')} no for {contact}. It holds for every message that is not yet handed over."
    )


def _store() -> Any:
    from carillon.settings import read_settings
    from carillon.store.migrate import open_store

    return open_store(read_settings().database_url)


def _contact_id(connection: Any, shop_id: str) -> int:
    from carillon.people.ingest import contact_ids

    found = contact_ids(connection, [shop_id])
    if shop_id not in found:
        click.echo(f"There is no contact {shop_id!r}.", err=True)
        sys.exit(1)
    return found[shop_id]


def _pending(connection: Any, said: Sequence[Said]) -> list[Pair]:
    """The topics and channels whose first yes waits for the second one, by the house rules that were applied."""
    from carillon.consent.record import is_pending
    from carillon.plan.applied import load_rules
    from carillon.plan.permissions import standing_rules

    try:
        double = standing_rules(load_rules(connection)).double
    except LookupError:  # before the first apply nothing says where two are needed
        return []
    return sorted(
        pair for pair in double if is_pending([row.state for row in said if (row.topic, row.channel) == pair])
    )


def _suppressions(connection: Any, contact_id: int) -> list[dict[str, str]]:
    import sqlalchemy as sa

    from carillon.store import tables as t

    addresses = sa.select(t.contact.c.email_key, t.contact.c.phone_key).where(t.contact.c.id == contact_id)
    keys = [key for key in connection.execute(addresses).one() if key]
    s = t.suppression.c
    rows = connection.execute(sa.select(s.address_key, s.reason).where(s.address_key.in_(keys), s.lifted_at.is_(None)))
    return [{"address": key, "reason": reason} for key, reason in rows]
