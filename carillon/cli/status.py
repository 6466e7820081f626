"""`carillon status`: how all campaigns stand, and whether the ledger adds up."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from carillon.cli.opened import json_option, now_option, opened, tell_json
from carillon.kernel.counting import counted, verb

if TYPE_CHECKING:  # imported when the command runs
    from carillon.advance.invariants import Violation
    from carillon.delivery.slower import Slowed
    from carillon.kernel.clock import Micros
    from carillon.reports.status import CampaignStatus, Status
    from carillon.store.engine import Store


@click.command("status", epilog="Example: carillon status --verify")
@click.option("--verify", is_flag=True, help="Check that the ledger's sums hold; exit 1 where one does not.")
@now_option
@json_option
def status(verify: bool, now: str | None, as_json: bool) -> None:
    """Show each campaign: its state, who stands where, what comes next; and what a person must look at."""
    from carillon.advance.invariants import violations
    from carillon.kernel.clock import SystemClock
    from carillon.reports.status import status as look
    from carillon.store.zones import ready_for_zones

    found: list[Violation] = []
    with opened() as house:
        ready_for_zones(house.store)
        seen = look(house.store, house.loaded, house.instant(now), SystemClock())
        quiet = _silence(house.store, seen.at)
        if verify:
            with house.store.read() as connection:
                found = violations(connection)
    if as_json:
        tell_json(
            _json(seen)
            | {"feedback_is_silent": quiet}
            | ({"violations": [_violation_json(v) for v in found]} if verify else {})
        )
    else:
        _show(seen, house.loaded.workspace.timezone)
        if quiet is not None:
            click.echo(f"Feedback is silent: {quiet} (carillon doctor)")
        if verify:
            click.echo("\nThe ledger adds up." if not found else "\nThe ledger does not add up:")
            for violation in found:
                click.echo(f"  {violation.sentence}")
    sys.exit(1 if found else 0)


def _silence(store: Store, at: Micros) -> str | None:
    from carillon.assembly import reporting
    from carillon.operating.silence import silence
    from carillon.plan.applied import load_rules

    with store.read() as connection:
        try:
            quiet = silence(connection, reporting(load_rules(connection)), at)
        except LookupError:  # nothing was ever applied
            return None
    return None if quiet is None else quiet.sentence


def _show(seen: Status, zone: str) -> None:
    for campaign in seen.campaigns:
        click.echo(
            f"{campaign.name}: {campaign.state}" + (f" ({campaign.hold_reason})" if campaign.hold_reason else "")
        )
        for line in _lines(campaign, zone):
            click.echo(f"  {line}")
    if not seen.campaigns:
        click.echo("Nothing is applied yet: carillon apply --all")
    for name in seen.not_applied:
        click.echo(f"{name}: not applied yet (carillon plan {name})")
    for connector, reason in seen.held_connectors.items():
        click.echo(
            f"{connector} takes nothing until a person looks: {reason} (carillon resume --connector {connector})"
        )
    for one in seen.slowed_connectors.values():
        click.echo(f"{one.connector} goes slower, as its provider asks: {_pace(one)}")
    for pool in seen.coupons:
        low = f", low: carillon import coupons {pool.pool} FILE" if pool.is_low else ""
        click.echo(f"coupons {pool.pool}: {counted(pool.left, 'code')} left{low}")
    if seen.waiting_intakes:
        click.echo(
            f"{counted(seen.waiting_intakes, 'delivery', 'deliveries')} of events {verb(seen.waiting_intakes, 'wait')} for the next run"
        )
    click.echo(
        f"as of {_clock(seen.at, zone)} · newest event {_clock(seen.newest_event, zone)} · newest feedback {_clock(seen.newest_feedback, zone)}"
    )


def _lines(campaign: CampaignStatus, zone: str) -> list[str]:
    lines = [f"{n:,} at {step}" for step, n in campaign.under_way.items()]
    if campaign.ready:
        lines.append(f"{campaign.ready:,} ready to be handed over")
        if campaign.per_minute:
            lines.append(f"  {campaign.per_minute:,} go a minute: {_time_left(campaign)} more")
        lines += [f"  {n:,} of them wait: {why}" for why, n in campaign.waiting_for.items()]
    if campaign.unsure:
        lines.append(f"{campaign.unsure:,} unsure (carillon unsure --campaign {campaign.name})")
    if campaign.wanted_again:
        lines.append(
            f"  {campaign.wanted_again:,} of them are wanted once more: each gets it as soon as they may have it"
        )
    lines += campaign.awaits
    if campaign.state == "held" or campaign.awaits:
        lines.append(f"go on with: carillon approve {campaign.name}")
    if campaign.is_advanced_now:
        lines.append("is running right now")
    if campaign.next_due is not None:
        lines.append(f"next: {_clock(campaign.next_due, zone)}")
    if campaign.drift:
        lines.append(f"{campaign.drift} (carillon plan {campaign.name})")
    return lines


def _time_left(campaign: CampaignStatus) -> str:
    seconds = -(-60 * campaign.ready // campaign.per_minute)
    if seconds < 120:
        return f"about {seconds} s"
    return f"about {-(-seconds // 60):,} min" if seconds < 7200 else f"about {-(-seconds // 3600):,} h"


def _pace(one: Slowed) -> str:
    from carillon.kernel.clock import from_micros

    rest = "" if one.rest_until is None else f"nothing until {from_micros(one.rest_until):%H:%M:%S} UTC"
    pace = "" if one.per_minute is None else f"{one.per_minute:,} people a minute"
    return ", then ".join(part for part in (rest, pace) if part)


def _clock(at: Micros | None, zone: str) -> str:
    from carillon.kernel.clock import clock_time

    return "none yet" if at is None else clock_time(at, zone)


def _iso(at: int | None) -> str | None:
    from carillon.kernel.clock import from_micros

    return None if at is None else from_micros(at).isoformat()


def _json(seen: Status) -> dict[str, object]:
    return {
        "at": _iso(seen.at),
        "campaigns": [
            {
                "campaign": c.name, "state": c.state, "hold_reason": c.hold_reason, "under_way": dict(c.under_way),
                "ready": c.ready, "people_a_minute": c.per_minute, "waiting_for": dict(c.waiting_for), "unsure": c.unsure, "wanted_again": c.wanted_again, "next_due": _iso(c.next_due), "is_running_now": c.is_advanced_now,
                "drift": c.drift, "awaits": list(c.awaits),
            }
            for c in seen.campaigns
        ],
        "not_applied": list(seen.not_applied),
        "held_connectors": dict(seen.held_connectors),
        "slowed_connectors": {
            one.connector: {"rest_until": _iso(one.rest_until), "people_a_minute": one.per_minute}
            for one in seen.slowed_connectors.values()
        },
        "coupons": [{"pool": p.pool, "left": p.left, "low": p.low, "is_low": p.is_low} for p in seen.coupons],
        "newest_event": _iso(seen.newest_event),
        "newest_feedback": _iso(seen.newest_feedback),
        "waiting_intakes": seen.waiting_intakes,
    }  # fmt: skip


def _violation_json(violation: Violation) -> dict[str, object]:
    return {"rule": violation.rule, "n": violation.n, "evidence": list(violation.evidence)}
