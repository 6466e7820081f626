"""`carillon pause | resume | stop | approve | enter`: what a person says to campaigns that run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from carillon.cli.opened import Opened, json_option, me, nearest, opened, refuse, tell_json
from carillon.kernel.counting import counted, verb

if TYPE_CHECKING:  # imported when a command runs
    from carillon.kernel.clock import Micros
    from carillon.plan.operate import OperatorState

_all_option = click.option("--all", "everything", is_flag=True, help="Every campaign that is applied.")
_why_option = click.option("--why", default="", help="Kept in the audit.")


@click.command("pause", epilog="Example: carillon pause spring_sale --why 'wrong price in the mail'")
@click.argument("campaigns", nargs=-1, metavar="[CAMPAIGN]...")
@_all_option
@_why_option
@json_option
def pause(campaigns: Sequence[str], everything: bool, why: str, as_json: bool) -> None:
    """Hand nothing over and take nobody in until `resume`. Outlives every apply.

    What is ready goes back: it is decided anew afterwards. With --all, campaigns applied later begin paused.
    """
    _change(campaigns, everything, "paused", why, as_json)


@click.command("resume", epilog="Example: carillon resume spring_sale")
@click.argument("campaigns", nargs=-1, metavar="[CAMPAIGN]...")
@_all_option
@click.option("--connector", metavar="NAME", help="A connector whose key or account was refused and works again.")
@click.option("--after-restore", is_flag=True, help="All that a restore holds; what may have left stays unsure.")
@click.option("--nothing-left", is_flag=True, help="With --after-restore: you know that nothing left since the backup.")
@_why_option
@json_option
def resume(
    campaigns: Sequence[str], everything: bool, connector: str | None, after_restore: bool, nothing_left: bool,
    why: str, as_json: bool,
) -> None:  # fmt: skip
    """Let paused or stopped campaigns run again; who was under way when it was stopped stays out.

    With --connector: what waits for that connector is handed over with the next run of its campaigns.
    """
    if after_restore or nothing_left:
        _end_restore(bool(campaigns) or everything or connector is not None, after_restore, nothing_left, as_json)
    elif connector is None:
        _change(campaigns, everything, "running", why, as_json)
    elif campaigns or everything:
        raise click.UsageError("--connector goes alone: campaigns are resumed by their names")
    else:
        _let_go_on(connector, why, as_json)


def _end_restore(names_more: bool, after_restore: bool, nothing_left: bool, as_json: bool) -> None:
    from carillon.cli.keep import end_restore

    if names_more or not after_restore:
        raise click.UsageError("--after-restore is about the whole store and goes alone, or with --nothing-left")
    end_restore(nothing_left=nothing_left, as_json=as_json)


def _let_go_on(connector: str, why: str, as_json: bool) -> None:
    from carillon.delivery.holds import go_on, held_connectors

    with opened() as house:
        with house.store.read() as connection:
            held = held_connectors(connection)
        if connector not in held:
            refuse(f"{connector} is not held", nearest(connector, held) or "`carillon status` names those that are")
        waiting = go_on(house.store, connector, who=me(), why=why or held[connector], at=house.instant(None))
    if as_json:
        tell_json({"connector": connector, "was_held": held[connector], "waiting": waiting})
    else:
        click.echo(
            f"{connector} takes messages again (was held: {held[connector]}); {counted(waiting, 'person', 'people')} {verb(waiting, 'wait')} for it"
        )


@click.command("stop", epilog="Example: carillon stop spring_sale")
@click.argument("campaigns", nargs=-1, metavar="[CAMPAIGN]...")
@_all_option
@_why_option
@json_option
def stop(campaigns: Sequence[str], everything: bool, why: str, as_json: bool) -> None:
    """End campaigns for everybody under way; what is ready is withdrawn and never goes out."""
    _change(campaigns, everything, "stopped", why, as_json)


@click.command("approve", epilog="Example: CARILLON_USER=head@shop.example carillon approve spring_sale")
@click.argument("campaign")
@_why_option
@json_option
def approve(campaign: str, why: str, as_json: bool) -> None:
    """Say yes to what waits for one: to what a campaign means as applied, to a wave of it, to what its brake held.

    Where `approval: {by: …}` names people it must be one of them; CARILLON_USER says who you are. Where nothing waits
    yet the yes is for the next wave.
    """
    from carillon.advance.approve import NotAsked
    from carillon.advance.approve import approve as write_approval
    from carillon.store.zones import ready_for_zones

    with opened() as house:
        _refuse_restored(house)
        ready_for_zones(house.store)
        name = _applied(house, [campaign])[0]
        try:
            approved = write_approval(house.store, name, who=me(), why=why, at=house.instant(None))
        except NotAsked as error:
            refuse(str(error), "CARILLON_USER says who you are")
    if as_json:
        waves = list(approved.waves)
        tell_json({"campaign": name, "meaning": approved.meaning, "waves": waves, "was_held": approved.held})
    else:
        held = f" (was held: {approved.held})" if approved.held else ""
        click.echo(f"{name}: {approved.sentence}{held}")


@click.command("enter", epilog="Example: carillon enter welcome c1042 --key order-77")
@click.argument("campaign")
@click.argument("contact")
@click.option("--key", default="", help="The same key again changes nothing. Default: now.")
@json_option
def enter(campaign: str, contact: str, key: str, as_json: bool) -> None:
    """Take one contact into a campaign with an entry `{api: true}`, at its next run."""
    from carillon.people.ingest import ingest_events
    from carillon.web.messages import Enter
    from carillon.web.shop import read_enter

    with opened() as house:
        now = house.instant(None)
        name = _applied(house, [campaign])[0]
        try:
            event = read_enter(house.store, Enter(campaign=name, userId=contact, key=key or str(now)), now)
        except ValueError as error:
            refuse(str(error))
        ingest_events(house.store, [event], source=f"carillon enter by {me()}", history=False, received_at=now)
    if as_json:
        tell_json({"campaign": name, "contact": contact, "key": key or str(now)})
    else:
        click.echo(f"{contact} enters {name} with its next run, unless it had this key before (carillon run {name})")


def _change(names: Sequence[str], everything: bool, state: OperatorState, why: str, as_json: bool) -> None:
    from carillon.plan.operate import set_operator_state, set_paused_for_all

    if bool(names) == everything:
        raise click.UsageError("name a campaign, or say --all")
    with opened() as house:
        if state == "running":
            _refuse_restored(house)
        at = house.instant(None)
        wanted = _applied(house, names)
        if everything and state != "stopped":
            set_paused_for_all(house.store, state == "paused", who=me(), why=why, at=at)
        changed = [one.name for one in set_operator_state(house.store, wanted, state, who=me(), why=why, at=at)]
        people = {name: _let_go(house, name, state, at) for name in wanted}
    if as_json:
        tell_json([{"campaign": n, "state": state, "changed": n in changed, "people": people[n]} for n in wanted])
        return
    for name in wanted:
        told = f"{name}: {state}" if name in changed else f"{name}: was {state} already"
        n = people[name]
        spared = f", {counted(n, 'person', 'people')} who {verb(n, 'were')} about to be written to {verb(n, 'are')} not"
        click.echo(told + (spared if n else ""))


def _refuse_restored(house: Opened) -> None:
    from carillon.operating.restored import mark_of

    with house.store.read() as connection:
        if mark_of(connection) is not None:
            refuse("this store was restored from a backup: carillon resume --after-restore lets it go on, all of it")


def _let_go(house: Opened, name: str, state: OperatorState, at: Micros) -> int:
    """What was reserved before a pause is decided anew, before a stop withdrawn; how many people that concerns."""
    from carillon.delivery.release import release_campaign, withdraw
    from carillon.journey.exits import end_all
    from carillon.plan.applied import load_campaign

    if state == "running":
        return 0
    with house.store.read() as connection:
        campaign_id = load_campaign(connection, name).id
    with house.store.write("ledger") as connection:
        if state == "paused":
            return release_campaign(connection, campaign_id, note=f"paused by {me()}")
        n = withdraw(connection, campaign_id, at=at)
        end_all(connection, campaign_id, at)
        return n


def _applied(house: Opened, names: Sequence[str]) -> list[str]:
    """These applied campaigns, or all; ends the command where one was never applied."""
    from carillon.plan.applied import applied_names

    with house.store.read() as connection:
        known = applied_names(connection)
    for name in names:
        if name not in known:
            refuse(f'no campaign "{name}" was applied', nearest(name, known))
    return list(names or known)
