"""`carillon plan` and `carillon apply`: what would happen, and making it the live one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from carillon.cli.check import workspace_option
from carillon.cli.opened import Opened, json_option, me, now_option, opened, refuse, tell_json
from carillon.kernel.counting import counted, people, verb

if TYPE_CHECKING:
    from carillon.foresight.draft import Draft
    from carillon.foresight.edit import Edit
    from carillon.foresight.outlook import Outlook


@click.command("plan", epilog="Example: carillon plan spring_sale")
@click.argument("campaigns", nargs=-1)
@workspace_option
@now_option
@json_option
def plan(campaigns: tuple[str, ...], folder: Path, now: str | None, as_json: bool) -> None:
    """Show who, when, how many, who is left out and why, and what it costs. Writes nothing.

    Without a name all campaigns are planned. Exit 1 where something forbids applying one.
    """
    from rich.console import Console

    from carillon.foresight.as_applied import next_of_applied
    from carillon.foresight.edit_words import edit_json, edit_sentences
    from carillon.foresight.screen import as_json as screen_json
    from carillon.foresight.screen import blocking, show

    console, answers, is_blocked = Console(highlight=False), [], False
    with opened(folder) as house:
        for name in house.campaigns(campaigns):
            draft, outlook = foresee(house, name, now)
            edit = foresee_edit(house, draft, now)
            is_blocked = is_blocked or any(blocking(draft, outlook))
            unchanged = next_of_applied(house.store, draft, house.instant(now))
            if as_json:
                changes = {"edit": None if edit is None else edit_json(edit), "unchanged": unchanged is not None}
                answers.append(screen_json(draft, outlook) | changes)
            else:
                show(console, draft, outlook, unchanged)
                if edit is not None:
                    console.print("\nWhat the edit changes", style="bold cyan")
                    for sentence in edit_sentences(edit, draft.rules.timezone):
                        console.print(f"  {sentence}", markup=False)
                console.print()
    if as_json:
        tell_json(answers)
    sys.exit(1 if is_blocked else 0)


@click.command("apply", epilog="Example: carillon apply --all")
@click.argument("campaigns", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Every campaign of the workspace.")
@click.option(
    "--no-deploy", is_flag=True, help="Write the store only; the deployments follow at the next `carillon up`."
)
@click.option("--yes", is_flag=True, help="Do not ask where people are under way and the campaign's meaning changes.")
@click.option(
    "--restart-test",
    "restarts",
    is_flag=True,
    help="Where the words of a running test have changed: begin it anew; what was measured is kept.",
)
@workspace_option
@now_option
@json_option
def apply(
    campaigns: tuple[str, ...],
    everything: bool,
    no_deploy: bool,
    yes: bool,
    restarts: bool,
    folder: Path,
    now: str | None,
    as_json: bool,
) -> None:
    """Make the campaigns as written the live ones: version, texts, and a Prefect deployment each.

    People under way finish on the version that they entered, or go on in the new one where the campaign says so
    (`on_change`); the newest texts go to everybody.
    """
    if not campaigns and not everything:
        raise click.UsageError("name a campaign, or say --all")
    if campaigns and everything:
        raise click.UsageError("either names or --all")
    with opened(folder) as house:
        wanted = with_confirmations(house, campaigns) if campaigns else ()
        names = [n for n in house.campaigns(wanted) if house.loaded.campaigns[n].state != "draft" or campaigns]
        if not yes:
            _ask(house, names, now)
        done = apply_all(house, names, now, restarts=restarts)
        done += _end_unasked(house, now)
        vanished = _vanished(house)
        if as_json:
            tell_json([{"campaign": c, "outcome": outcome} for c, outcome in done])
        else:
            for campaign, outcome in done:
                click.echo(f"{campaign}: {outcome}")
        if not no_deploy:
            _deploy(house, quiet=as_json)
    for name in vanished:
        click.echo(
            f"{name} has no folder any more and runs as applied: bring it back with `state: ended`, name it in another "
            f"campaign's `was:`, or `carillon stop {name}`",
            err=True,
        )
    sys.exit(1 if vanished else 0)


def apply_all(house: Opened, names: list[str], now: str | None, *, restarts: bool = False) -> list[tuple[str, str]]:
    """Apply these campaigns, all or none: every one is planned before the first is written.

    `restarts` lets running tests begin anew whose words have changed.
    """
    from carillon.consent.standing import ensure_folded, rules_of
    from carillon.foresight.screen import blocking
    from carillon.plan.apply import apply_plan

    # A topic that now asks twice, or a new language, is true of everybody from this apply on.
    ensure_folded(house.store, rules_of(house.loaded.workspace))

    foreseen = [(name, *foresee(house, name, now)) for name in names]
    for name, draft, outlook in foreseen:
        if draft.plan.state == "draft":
            refuse(f"{name} is a draft: set `state: live` to apply it")
        if reasons := list(blocking(draft, outlook, restarts=restarts)):
            for reason in reasons:
                click.echo(f"{name}: {reason}", err=True)
            refuse("Nothing was applied.")
    _lay_in(house)
    done: list[tuple[str, str]] = []
    for name, draft, outlook in foreseen:
        planned = None if outlook.is_by_event else outlook.planned
        change = apply_plan(
            house.store, draft.plan, draft.rules, draft.contents.contents, planned_audience=planned, by=me(),
            at=house.instant(now), anew=[test.step_id for test in outlook.tests],
        )  # fmt: skip
        done.append((name, change.outcome))
    return done


def with_confirmations(house: Opened, names: Sequence[str]) -> tuple[str, ...]:
    """These campaigns and those that ask for a second yes: the house rules, which every apply writes, promise them."""
    from carillon.definition.confirming import is_confirmation

    return tuple(dict.fromkeys([*names, *filter(is_confirmation, house.loaded.campaigns)]))


def _end_unasked(house: Opened, now: str | None) -> list[tuple[str, str]]:
    """End the confirmations of topics that no longer ask."""
    from carillon.definition.confirming import is_confirmation
    from carillon.plan.operate import end_campaigns

    gone = [name for name in _vanished(house) if is_confirmation(name)]
    if gone:
        end_campaigns(house.store, gone, who=me(), why="its topic asks no more", at=house.instant(now))
    return [(name, "ended") for name in gone]


def _lay_in(house: Opened) -> None:
    """New codes of the files of coupons, before anybody can be given one."""
    from carillon.policy.code_files import UnreadableCodesError, lay_in

    pools = [pool for pool in house.loaded.workspace.coupons.values() if pool.file]
    if not pools:
        return
    try:
        with house.store.write("ledger") as connection:
            laid = lay_in(connection, house.loaded.root, pools)
    except UnreadableCodesError as fault:
        refuse(f"{fault}. Nothing was applied.")
    for pool, n in laid.items():
        click.echo(f"{pool}: {counted(n, 'new code')} of {house.loaded.workspace.coupons[pool].file}", err=True)


def foresee(house: Opened, name: str, now: str | None) -> tuple[Draft, Outlook]:
    """The campaign as its files say it, and what would become of it."""
    from carillon.audience.analyst import AnalystFault
    from carillon.foresight.draft import draft_of
    from carillon.foresight.hypothetical import hypothetical
    from carillon.foresight.outlook import outlook
    from carillon.plan.applied import links_applied
    from carillon.policy.code_files import UnreadableCodesError, codes_ahead
    from carillon.policy.coupons import pools_of
    from carillon.store.zones import ready_for_zones

    ready_for_zones(house.store, house.loaded.workspace.timezone)
    with house.store.read() as connection:
        draft = draft_of(house.loaded, name, links_applied(connection, name))
    with house.store.read() as connection:
        pools = pools_of(draft.plan, [draft.plan])
        try:
            ahead = codes_ahead(
                connection, house.loaded.root, {n: p for n, p in draft.rules.coupons.items() if n in pools}
            )
        except UnreadableCodesError as fault:
            refuse(f"{name}: {fault}")
        ground = hypothetical(house.store, connection, draft.plan, draft.rules, house.instant(now))
        try:
            return draft, outlook(connection, ground, draft.contents, ahead)
        except AnalystFault as fault:
            refuse(f"{name}: {fault}")


def foresee_edit(house: Opened, draft: Draft, now: str | None) -> Edit | None:
    """What applying the draft would change for people under way; None where it changes nothing for them."""
    from carillon.foresight.edit import edit_of
    from carillon.foresight.hypothetical import hypothetical

    with house.store.read() as connection:
        return edit_of(connection, hypothetical(house.store, connection, draft.plan, draft.rules, house.instant(now)))


def _ask(house: Opened, names: list[str], now: str | None) -> None:
    """A person's word, where a campaign's meaning changes while people are under way in it; without a terminal a refusal."""
    from carillon.foresight.draft import draft_of
    from carillon.foresight.edit_words import edit_sentences
    from carillon.plan.applied import links_applied

    for name in names:
        with house.store.read() as connection:
            draft = draft_of(house.loaded, name, links_applied(connection, name))
        edit = foresee_edit(house, draft, now)
        if edit is None or not edit.people:
            continue
        for sentence in edit_sentences(edit, draft.rules.timezone):
            click.echo(f"{name}: {sentence}", err=True)
        if not sys.stdin.isatty():
            refuse(
                f"{name} changes while {people(edit.people)} {verb(edit.people, 'are')} under way: say --yes to apply it. Nothing was applied."
            )
        if not click.confirm(f"Apply {name}, with {people(edit.people)} under way?", err=True):
            refuse("Nothing was applied.")


def _vanished(house: Opened) -> list[str]:
    """Applied campaigns whose folder is gone and that nobody has ended, stopped or renamed."""
    import sqlalchemy as sa

    from carillon.store import tables as t

    c = t.campaign.c
    known = sorted(house.loaded.messages)
    with house.store.read() as connection:
        return list(
            connection.scalars(
                sa.select(c.name)
                .where(c.name.not_in(known), c.wanted_state != "ended", c.operator_state != "stopped")
                .where(c.live_version.is_not(None))
            )
        )


def _deploy(house: Opened, *, quiet: bool) -> None:
    """Bring Prefect in line where a server is reachable; without one, say when it will happen."""
    from carillon.cli.prefect_side import deploy_where_reachable

    told = deploy_where_reachable(house.settings)
    if not quiet:
        click.echo(told)
