"""`carillon segment count|show`: how many people a segment holds, and who they are."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import click

from carillon.cli.check import workspace_option

if TYPE_CHECKING:  # imported when a command runs, so that the command line stays light
    from pathlib import Path

    from sqlalchemy.engine import Connection

    from carillon.audience.moment import Moment
    from carillon.audience.segments import Member, SegmentCount
    from carillon.definition.load import Loaded
    from carillon.definition.model import Segment
    from carillon.kernel.problems import Problem
    from carillon.store.engine import Store

topic_option = click.option("--topic", help="The topic whose consent counts for reachable and consent.")
json_option = click.option("--json", "as_json", is_flag=True, help="The answer as JSON.")


@click.group("segment")
def segment() -> None:
    """Named audiences: how many, and who."""


@segment.command("count")
@click.argument("name")
@workspace_option
@topic_option
@json_option
def count(name: str, folder: Path, topic: str | None, as_json: bool) -> None:
    """Say how many contacts are in the segment NAME."""
    from carillon.audience.segments import count_segment

    question = _question(name, folder, topic)
    with question.store.read() as connection:
        counted = _asked(
            lambda: count_segment(connection, question.segment, question.at(connection), question.channels)
        )
    question.store.close()
    click.echo(_count_json(counted) if as_json else _count_text(counted, topic))


@segment.command("show")
@click.argument("name")
@workspace_option
@topic_option
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many contacts.")
@json_option
def show(name: str, folder: Path, topic: str | None, limit: int, as_json: bool) -> None:
    """Show some contacts of the segment NAME, and why each is in it."""
    from carillon.audience.segments import show_segment

    question = _question(name, folder, topic)
    pairs = [(named, channel) for named in question.loaded.workspace.topics for channel in question.channels]
    with question.store.read() as connection:
        found = _asked(lambda: show_segment(connection, question.segment, question.at(connection), limit, pairs))
    question.store.close()
    if as_json:
        rows = [{"id": m.shop_id, "email": m.email, "country": m.country, "why": m.why} for m in found]
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        _print_table(found, question.segment.title)


@dataclass(frozen=True, slots=True)
class _Question:
    loaded: Loaded
    store: Store
    segment: Segment
    topic: str | None

    @property
    def channels(self) -> list[str]:
        """Channels that the workspace can send on."""
        return [channel.value for channel in self.loaded.workspace.senders]

    def at(self, connection: Connection) -> Moment:
        from carillon.audience.moment import Moment
        from carillon.audience.select import is_folded
        from carillon.kernel.clock import SystemClock
        from carillon.people.ingest import money_fields
        from carillon.plan.compile import compile_rules
        from carillon.plan.permissions import HousePermissions

        topics: dict[str, list[str]] = {}
        for campaign in self.loaded.campaigns.values():
            topics.setdefault(campaign.topic, []).append(campaign.name)
        return Moment(
            now=SystemClock().now(),
            dialect=self.store.dialect,
            timezone=self.loaded.workspace.timezone,
            topic=self.topic,
            segments={name: found.who for name, found in self.loaded.segments.items()},
            topics={topic: tuple(names) for topic, names in topics.items()},
            permissions=HousePermissions(compile_rules(self.loaded.workspace, self.loaded.segments)),
            folded=is_folded(connection),
            money=money_fields(connection),
        )


def _question(name: str, folder: Path, topic: str | None) -> _Question:
    from carillon.definition.load import load_workspace
    from carillon.kernel.problems import did_you_mean, render
    from carillon.settings import read_settings
    from carillon.store.migrate import open_store

    settings = read_settings()
    loaded = load_workspace(folder, env=os.environ.get("CARILLON_ENV"))
    if wrong := _in_the_way(name, loaded):
        _refuse(render(wrong, loaded.sources), 1)
    if name not in loaded.segments:
        _refuse(f'no segment "{name}": {did_you_mean(name, loaded.segments) or "the workspace has none"}', 2)
    if topic is not None and topic not in loaded.workspace.topics:
        _refuse(f'no topic "{topic}": {did_you_mean(topic, loaded.workspace.topics)}', 2)
    store = open_store(settings.database_url)
    _refuse_unanswerable(store, loaded, loaded.segments[name])
    return _Question(loaded, store, loaded.segments[name], topic)


def _refuse_unanswerable(store: Store, loaded: Loaded, asked: Segment) -> None:
    """A list on which nobody stands, or SQL that the store cannot answer, ends the command."""
    from carillon.audience.analyst import try_it
    from carillon.audience.select import lists_in, sql_in
    from carillon.kernel.clock import SystemClock
    from carillon.people.lists import unknown_lists

    segments = {name: found.who for name, found in loaded.segments.items()}
    with store.read() as connection:
        for name, hint in unknown_lists(connection, lists_in(asked.who, segments=segments)).items():
            _refuse(f'nobody stands on the list "{name}": {hint}', 1)
    for sql in sql_in(asked.who, segments=segments):
        _asked(lambda sql=sql: try_it(store, sql, SystemClock().now()))


def _in_the_way(name: str, loaded: Loaded) -> list[Problem]:
    """Errors that make the answer doubtful: of this segment, of those it names, and of the files that all share.

    A word elsewhere whose engine is not there yet (LATER) does not: nothing is sent here.
    """
    from carillon.audience.select import segments_in

    files = {
        f"{loaded.label}/segments/{one}.yaml"
        for one in (name, *segments_in(name, {n: found.who for n, found in loaded.segments.items()}))
    }
    return [
        problem
        for problem in loaded.errors_of("")  # what no campaign owns
        if problem.position.file in files or ("/segments/" not in problem.position.file and problem.code != "LATER")
    ]


def _asked(answer: Any) -> Any:
    from carillon.audience.moment import ConditionError

    try:
        return answer()
    except ConditionError as fault:
        hint = " (--topic NAME)" if "name the topic" in str(fault) else ""
        _refuse(f"{fault}{hint}", 1)


def _refuse(message: str, code: int) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(code)


def _count_text(counted: SegmentCount, topic: str | None) -> str:
    lines = [
        f"{counted.title} ({counted.name})",
        f"{counted.members:,} of {counted.contacts:,} contacts, {counted.share:.1%}",
    ]
    if counted.reachable:
        shown = " · ".join(f"{channel} {n:,}" for channel, n in counted.reachable.items())
        lines.append(
            f"reachable: {shown}" + (f" (topic {topic})" if topic else " (address open; --topic asks consent, too)")
        )
    lines.append(f"newest event: {_instant(counted.newest_event_at) or 'there are none yet'}")
    return "\n".join(lines)


def _count_json(counted: SegmentCount) -> str:
    return json.dumps(
        {
            "segment": counted.name,
            "title": counted.title,
            "members": counted.members,
            "contacts": counted.contacts,
            "share": round(counted.share, 6),
            "reachable": counted.reachable,
            "newest_event_at": _instant(counted.newest_event_at),
        },
        ensure_ascii=False,
        indent=2,
    )


def _instant(at: int | None) -> str | None:
    from carillon.kernel.clock import from_micros

    return None if at is None else f"{from_micros(at):%Y-%m-%d %H:%M} UTC"


def _print_table(members: list[Member], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("id", "email", "country", "why"):
        table.add_column(heading, overflow="fold")
    for member in members:
        table.add_row(member.shop_id, member.email or "–", member.country or "–", member.why)
    Console().print(table if members else f"{title}: nobody")
