"""`carillon proof`: every message to our own addresses, by the real provider."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from carillon.cli.check import workspace_option
from carillon.cli.opened import json_option, now_option, opened, refuse, tell_json
from carillon.cli.preview import messages_of

if TYPE_CHECKING:  # imported when the command runs
    from carillon.kernel.channels import Channel


@click.command("proof", epilog="Example: carillon proof spring_sale --to crm@acme.example")
@click.argument("campaign")
@click.option("--to", "addresses", multiple=True, metavar="ADDRESS", help="Instead of `proofs` in workspace.yaml.")
@click.option("--contact", metavar="ID", help="With the values of this contact (the shop's id).")
@click.option("--dry-run", is_flag=True, help="Say what would be sent; send nothing.")
@workspace_option
@now_option
@json_option
def proof(
    campaign: str,
    addresses: tuple[str, ...],
    contact: str | None,
    dry_run: bool,
    folder: Path,
    now: str | None,
    as_json: bool,
) -> None:
    """Send every message × variant × language of CAMPAIGN to the proof addresses, marked in its subject.

    Counted nowhere: no cap, coupon or budget knows of it. Exit 1 where one was not sent.
    """
    from carillon.assembly import connectors_of, sandbox_at_hand
    from carillon.foresight.proof import proofs_of, send_proofs

    with opened(folder) as house:
        to = _chosen(addresses) if addresses else house.loaded.workspace.proofs
        if not to:
            refuse("nobody to send to", "write `proofs: {email: [crm@acme.example]}` into workspace.yaml, or say --to")
        draft, found = messages_of(house, campaign, contact, now)
        wanted = list(proofs_of(draft, found, to))
        if not wanted:
            channels = ", ".join(sorted({str(one.channel) for one in found}))
            refuse(f"no address for {channels or 'any message'}", f"the addresses are for {', '.join(map(str, to))}")
        if dry_run:
            for one in wanted:
                click.echo(f"{one.label} → {one.address}: {one.shown.withheld or one.shown.subject or one.shown.text}")
            return
        with sandbox_at_hand(house.settings, draft.rules) as sandbox:
            connectors = connectors_of(draft.rules, house.settings, sandbox)
            done = asyncio.run(send_proofs(wanted, connectors))
    rows = [{"message": s.proof.label, "to": s.proof.address, "outcome": s.outcome} for s in done]
    if as_json:
        tell_json(rows)
    else:
        for row in rows:
            click.echo(f"{row['message']} → {row['to']}: {row['outcome']}")
    sys.exit(0 if all(s.is_sent for s in done) else 1)


def _chosen(addresses: tuple[str, ...]) -> Mapping[Channel, Sequence[str]]:
    """Addresses by channel: what has an @ is for mail, everything else a phone number."""
    from carillon.kernel.channels import Channel

    mails = [address for address in addresses if "@" in address]
    phones = [address for address in addresses if "@" not in address]
    return {channel: to for channel, to in ((Channel.EMAIL, mails), (Channel.SMS, phones)) if to}
