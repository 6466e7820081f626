"""`carillon doctor`: is everything in order, and if not, what to do."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from carillon.cli.opened import json_option, tell_json

if TYPE_CHECKING:  # imported when the command runs
    from carillon.operating.check import Check
    from carillon.settings import Settings
    from carillon.store.engine import Store

_SIGN = {"ok": "ok  ", "warn": "warn", "bad": "BAD "}


@click.command("doctor", epilog="Example: carillon doctor --json")
@json_option
def doctor(as_json: bool) -> None:
    """Look at keys, webhooks, clock, versions, the store and Prefect's deployments; exit 1 where something is bad."""
    from carillon.cli.keep import store_as_it_stands
    from carillon.settings import read_settings

    settings = read_settings()
    store = store_as_it_stands(settings)
    try:
        found = list(_checks(settings, store))
    finally:
        store.close()
    is_good = all(check.level != "bad" for check in found)
    if as_json:
        checks = [{"level": c.level, "subject": c.subject, "says": c.says, "do": c.do} for c in found]
        tell_json({"good": is_good, "checks": checks})
    else:
        for check in found:
            click.echo(f"{_SIGN[check.level]}  {check.subject}: {check.says}")
            if check.do and check.level != "ok":
                click.echo(f"      → {check.do}")
    sys.exit(0 if is_good else 1)


def _checks(settings: Settings, store: Store) -> Iterator[Check]:
    from sqlalchemy.exc import SQLAlchemyError

    from carillon.operating.check import Check
    from carillon.operating.check_outside import check_versions
    from carillon.operating.check_store import check_files, check_layout

    yield from check_versions()
    yield from check_files(store)
    try:
        layout = check_layout(store)
    except SQLAlchemyError as fault:
        yield Check("bad", "store", f"{type(fault).__name__}: {fault}".splitlines()[0], "look at CARILLON_DATABASE_URL")
        return
    yield layout
    if layout.level == "ok":
        yield from _checks_of_applied(settings, store)


def _checks_of_applied(settings: Settings, store: Store) -> Iterator[Check]:
    from carillon.assembly import reporting, running_sandbox, uses_sandbox
    from carillon.cli.prefect_side import reachable_api
    from carillon.kernel.clock import SystemClock
    from carillon.operating.check import Check
    from carillon.operating.check_outside import check_public, check_secret, check_senders
    from carillon.operating.check_prefect import check_prefect
    from carillon.operating.check_store import check_coupons, check_standing, check_zones
    from carillon.plan.applied import load_rules

    with store.read() as connection:
        yield check_zones(connection)
        try:
            rules = load_rules(connection)
        except LookupError as fault:
            yield Check("warn", "rules", str(fault.args[0]), "carillon apply --all")
            return
        yield from check_coupons(connection, rules)
        yield from check_standing(connection, reporting(rules), SystemClock().now())
    yield from check_prefect(store, reachable_api(settings), SystemClock().now())
    yield check_secret(settings, rules)
    yield from check_senders(settings, rules, running_sandbox(settings) if uses_sandbox(rules) else None)
    yield from check_public(settings, rules)
