"""One Prefect flow a campaign, made from its applied plan in the store when it is asked for by name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from prefect import Flow, get_run_logger, runtime, task
from prefect.artifacts import create_markdown_artifact
from prefect.states import Completed

from carillon.advance.advance import Advanced, advance
from carillon.advance.lease import AlreadyRunning
from carillon.advance.stages import Stage, people_in, settled
from carillon.assembly import engine_of, open_house, sandbox_at_hand
from carillon.delivery.model import WorkResult
from carillon.delivery.waiting import waiting
from carillon.journey.ground import load_ground
from carillon.kernel.clock import SystemClock, VirtualClock, to_micros
from carillon.kernel.stopping import asked_to_stop
from carillon.plan.applied import load_campaign, load_rules
from carillon.reports.build import build_report
from carillon.reports.markdown import markdown
from carillon.store.engine import Store
from flows.plan_next_run import plan_next_run
from flows.read_secrets import settings_of_run
from flows.show_progress import Bar, shown

logging.getLogger("carillon").setLevel(logging.INFO)

WAITING = "Waiting"
"""The name of the state of a run that is over while people wait for their message: no such run is shown as done."""


def campaign_flow(name: str) -> Flow[..., Any]:
    """The flow of an applied campaign; raises LookupError where it was never applied."""
    store = open_house(settings_of_run())
    try:
        with store.read() as connection:
            applied, rules = load_campaign(connection, name), load_rules(connection)
    finally:
        store.close()
    steps = " → ".join(node.id for node in applied.plan.nodes)
    return Flow(
        run_of(name),
        name=name,
        description=f"{applied.plan.title}\n\n{steps}",
        version=applied.meaning[:12],
        flow_run_name=lambda: _run_name(name, rules.timezone),
        validate_parameters=True,
    )


def _run_name(name: str, timezone: str) -> str:
    """`spring_sale Mon 8 Mar 2027 09:00`: the instant that the run is about, on the shop's clock."""
    said = runtime.flow_run.parameters.get("now")
    at = datetime.fromisoformat(said) if said else datetime.now(UTC)
    return f"{name} {at.astimezone(ZoneInfo(timezone)):%a %-d %b %Y %H:%M}"


def run_of(name: str) -> Callable[[str | None], Any]:
    """What the campaign's flow does; its signature is the form that the UI shows."""

    def run_campaign(now: str | None = None) -> Any:
        """Advance the campaign to now. `now`: an instant with its offset, only to look back or for a rehearsal."""
        log = get_run_logger()
        settings = settings_of_run()
        store = open_house(settings)
        try:
            with store.read() as connection:
                rules = load_rules(connection)
            clock = VirtualClock(to_micros(datetime.fromisoformat(now))) if now else SystemClock()
            with sandbox_at_hand(settings, rules) as sandbox, asked_to_stop() as stopping:
                engine = engine_of(settings, store, campaign_clock=clock, sandbox=sandbox)
                performer = Performer()
                try:
                    advanced = advance(
                        engine, name, alone=now is not None, perform=performer, progress=performer.progress,
                        stopping=stopping,
                    )  # fmt: skip
                except AlreadyRunning:
                    log.info("%s is advanced by another process right now: nothing to do here", name)
                    return {"campaign": name, "already_running": True}
                if stopping():
                    log.warning("Asked to stop: what is left goes out with the next run.")
                    advanced = replace(advanced, next_due=advanced.at)
            _tell(log, advanced)
            if now is None:
                # Where it cannot be planned `carillon up` and keep_time advance what is late, and plan again.
                shown("the next run", partial(plan_next_run, name, advanced))
            _leave_report(store, name, advanced.at)
            return _ended(store, advanced)
        finally:
            store.close()

    return run_campaign


class Performer:
    """Makes tasks of what a run touches: hand-overs run inside theirs, quick stages are told when they did something."""

    def __init__(self) -> None:
        self._bar: Bar | None = None

    def __call__(self, title: str, run: Callable[[], Stage], *, is_long: bool = False) -> Stage:
        if is_long:
            return _named(title, lambda: self._watched(title, run))
        stage = run()
        if stage.did_something:
            for part in stage.told:
                _named(part.short, partial(_said, part))
        return stage

    def _watched(self, title: str, run: Callable[[], Stage]) -> Stage:
        self._bar = Bar(title, people_in(title))
        try:
            stage = run()
            self._bar.move(settled(stage.told[-1].counts))  # the hand-over is the last of what was done
        finally:
            self._bar.end()
        for part in stage.told:
            get_run_logger().info(part.line)
        return stage

    def progress(self, result: WorkResult) -> None:
        """Told by the engine after each settled batch."""
        if self._bar is not None:
            self._bar.move(settled(result.people))


def _said(stage: Stage) -> Stage:
    get_run_logger().info(stage.line)
    return stage


def _named(title: str, run: Callable[[], Stage]) -> Stage:
    # The name of a task run is a template to Prefect: braces in it would be looked up as parameters.
    name = title.replace("{", "(").replace("}", ")")
    return task(name=name.partition(":")[0], task_run_name=name, persist_result=False)(run)()


def _tell(log: Any, advanced: Advanced) -> None:
    if not advanced.stages:
        log.info("Nothing was due.")
    for connector, reason in advanced.work.held.items():
        log.warning("%s takes nothing until a person looks: %s", connector, reason)
    if advanced.hold_reason:
        log.warning("Held: %s. `carillon approve %s` lets it go on.", advanced.hold_reason, advanced.campaign)
    for one in advanced.awaits:
        if one.people:
            log.warning("This campaign %s. Say it: Deployments, approve_campaign, Run.", one.sentence)


def _ended(store: Store, advanced: Advanced) -> Any:
    """What the run says at its end; Completed is called Waiting while somebody waits for a message that is due."""
    said = {"campaign": advanced.campaign, "stages": [stage.line for stage in advanced.stages]}
    with store.read() as connection:
        left = waiting(connection, load_campaign(connection, advanced.campaign).id, advanced.at)
    if not left.people:
        return said
    return Completed(name=WAITING, message=left.sentence, data={**said, "waiting": left.people})


def _leave_report(store: Store, name: str, at: int) -> None:
    with store.read() as connection:
        ground = load_ground(store, name, at)
        report = build_report(connection, ground)
    key = f"report-{name.replace('_', '-')}"
    shown(
        "the report",
        lambda: create_markdown_artifact(markdown(report), key=key, description=f"{report.title}: how it stands"),
    )


def __getattr__(name: str) -> Flow[..., Any]:
    if name.startswith("_"):
        raise AttributeError(name)
    try:
        return campaign_flow(name)
    except LookupError as error:
        raise AttributeError(f"no applied campaign {name!r}") from error
