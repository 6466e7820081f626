"""`carillon unsure`: the hand-overs whose outcome is unknown, and a person's word on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from carillon.cli.opened import json_option, me, opened, refuse, tell_json
from carillon.kernel import counting
from carillon.kernel.counting import verb

if TYPE_CHECKING:  # imported when the command runs
    from carillon.delivery.unsure import Decision, UnsureBatch

_DONE = {
    "accept": "taken as sent",
    "resend": "wanted once more: the next run asks who of them may have it now",
    "close": "closed as unsure",
}


@click.command("unsure")
@click.argument("batches", nargs=-1, type=int, metavar="[BATCH]...")
@click.option("--campaign", help="Only hand-overs of this campaign.")
@click.option("--accept", "decision", flag_value="accept", help="They were sent.")
@click.option("--resend", "decision", flag_value="resend", help="They were not: send them again.")
@click.option("--close", "decision", flag_value="close", help="Nobody will know: leave them as unsure and ask no more.")
@click.option("--why", help="How you know. Kept with the decision.")
@json_option
def unsure(
    batches: Sequence[int], campaign: str | None, decision: Decision | None, why: str | None, as_json: bool
) -> None:
    """List hand-overs that may or may not have left, or settle BATCHes of them.

    What reports prove is settled first. To decide: name the batches, one of --accept, --resend or --close, and --why.
    """
    from carillon.delivery.evidence import settle_by_evidence
    from carillon.delivery.unsure import decide, unsure_batches
    from carillon.kernel.clock import SystemClock

    if decision is not None and not (batches and why and why.strip()):
        raise click.UsageError(f"--{decision} needs the batches it is about, and --why")
    if decision is None and why is not None:
        raise click.UsageError("--why goes with --accept, --resend or --close")
    with opened() as house:
        now = SystemClock().now()
        proved = settle_by_evidence(house.store, now=now, machine_now=now)
        if decision is not None:
            decided = decide(house.store, batches, decision, who=me(), why=why or "", now=now, machine_now=now)
            _tell_decided(batches, decision, decided, as_json)
            return
        with house.store.read() as connection:
            found = [b for b in unsure_batches(connection, campaign) if not batches or b.id in batches]
    tell_json({"proved": proved, "unsure": [_plain(b) for b in found]}) if as_json else _tell(found, proved)


def _tell_decided(batches: Sequence[int], decision: Decision, decided: Any, as_json: bool) -> None:
    if as_json:
        tell_json({"decision": decision, "people": decided})
    else:
        for batch_id, people in decided.items():
            click.echo(f"batch {batch_id}: {counting.people(people)} {_DONE[decision]}")
    if left := [str(b) for b in batches if b not in decided]:
        refuse(f"not unsure (any more): batch {', '.join(left)}", "`carillon unsure` lists those that are")


def _tell(found: Sequence[UnsureBatch], proved: int) -> None:
    from carillon.kernel.clock import from_micros

    if proved:
        click.echo(
            f"{counting.people(proved)} {verb(proved, 'were')} unsure until now: reports prove that they were sent."
        )
    if not found:
        click.echo("Nothing is unsure.")
        return
    for b in found:
        click.echo(f"batch {b.id}  {b.campaign} › {b.step}: {counting.people(b.people)} by {b.connector}")
        if b.resend_at is not None:
            click.echo(f"    wanted once more: asked from {from_micros(b.resend_at):%Y-%m-%d %H:%M} UTC on; {b.reason}")
            continue
        click.echo(f"    since {from_micros(b.since):%Y-%m-%d %H:%M} UTC, because {b.reason}")
        click.echo(f"    {_silence(b)}")
    click.echo("\nLook them up at the provider, then: carillon unsure BATCH --accept|--resend|--close --why '…'")


def _silence(b: UnsureBatch) -> str:
    if b.reports_of_others:
        return "no report about any of them, while reports about others came in: it probably did not leave"
    return "no report about anybody since then: silence says nothing yet"


def _plain(b: UnsureBatch) -> dict[str, object]:
    from carillon.kernel.clock import from_micros

    return {
        "batch": b.id, "campaign": b.campaign, "step": b.step, "connector": b.connector, "people": b.people,
        "since": from_micros(b.since).isoformat(), "reason": b.reason, "reports_of_others": b.reports_of_others,
        "resend_at": None if b.resend_at is None else from_micros(b.resend_at).isoformat(),
    }  # fmt: skip
