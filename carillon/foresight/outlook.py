"""What `plan` shows, counted by the Selects that a run carries out; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.audience.analyst import Answer, try_it
from carillon.audience.evaluate import where
from carillon.audience.moment import of_contact
from carillon.audience.select import lists_in, sql_in
from carillon.definition.conditions import Condition, ContactIs, FieldTest
from carillon.definition.entries import Broadcast, PlanEntry, Scheduled, entry_key
from carillon.delivery.pace_ahead import PaceAhead, pace_ahead
from carillon.experiment.holdout import role_of
from carillon.foresight.hypothetical import under_way
from carillon.foresight.running_tests import ChangedTest, changed_tests
from carillon.foresight.worked import WorkedWait, worked_waits
from carillon.journey.awaited import awaited
from carillon.journey.forecast import would_enter
from carillon.journey.ground import Ground
from carillon.journey.occasions import Occasion, next_occasion_of, occasions
from carillon.journey.take_in import AGAIN, UNDER_WAY, not_entered
from carillon.kernel.channels import Channel
from carillon.kernel.clock import Micros
from carillon.messages.for_campaign import CampaignContents
from carillon.messages.planned_parts import planned_parts
from carillon.people.lists import unknown_lists
from carillon.plan.model import ActNode, MessageNode, Plan, SplitNode, WaitNode, conditions_of, ways_of
from carillon.plan.rules import Rules
from carillon.plan.senders import sender_of
from carillon.policy.budgets import purse_of
from carillon.policy.coupons import Stock, Supply, pool_of, pools_of, stock_ahead
from carillon.policy.decide import Question, decisions
from carillon.policy.limits import limits_of
from carillon.policy.words import WAITS, SkipReason
from carillon.store import tables as t

MOST_AT_ONCE = 1000
"""People of one request: no provider takes more, and a pace mostly allows fewer."""


@dataclass(frozen=True, slots=True)
class FirstMessage:
    """A message that people meet before any answer of theirs can matter: these numbers are counts, not forecasts."""

    step_id: str
    channel: str
    is_one_of_several: bool
    """Whether the step has other channels, with counts of their own."""
    reached: int
    gets: int
    held: int
    skipped: Mapping[str, int]
    later: Mapping[str, int]
    """Of those who get it: who gets it later, and what for (quiet hours, a blackout, a full cap)."""
    languages: Mapping[str, int]
    countries: Mapping[str, int]
    cost: float | None
    """In the workspace's currency; None where workspace.yaml says no price."""
    lacking: Mapping[str, int]
    """A field that the message needs and does not default → people who lack it."""
    pace: PaceAhead | None = None
    """When the first and the last of them leave at the workspace's pace; None where there is none."""

    @property
    def label(self) -> str:
        """The step, and where it has several channels which one."""
        return f"{self.step_id} by {self.channel}" if self.is_one_of_several else self.step_id


@dataclass(frozen=True, slots=True)
class Outlook:
    """The plan screen of one campaign."""

    campaign: str
    title: str
    at: Micros
    contacts: int
    newest_event: Micros | None
    matches: int
    """Who would be taken in now; for an event campaign, by its triggers of the last 30 days."""
    is_by_event: bool
    not_entered: Mapping[str, int]
    first_due: Micros | None
    last_due: Micros | None
    zones: int
    first_messages: tuple[FirstMessage, ...]
    under_way: Mapping[str, int]
    gets_it: str | None
    gets_nothing: tuple[str, str] | None
    """(contact, reason)."""
    is_wave_ahead: bool = False
    """Whether an entry of this campaign still takes in a wave, which `expect` is about."""
    awaits: tuple[str, ...] = ()
    """What a person must say yes to before anything leaves."""
    waits: tuple[WorkedWait, ...] = ()
    """One worked example for each wait."""
    analysts: tuple[Answer, ...] = ()
    """What its SQL finds."""
    tests: tuple[ChangedTest, ...] = ()
    """Those whose words it would change."""
    supplies: tuple[Supply, ...] = ()
    """What is left of the pools of coupons that it gives, with what applying it lays in."""
    objections: tuple[str, ...] = ()
    """What forbids applying it that only the store tells."""
    entered: int = 0
    """Of those who do not enter: who has done so already, in the very wave that is counted here."""

    @property
    def enters(self) -> int:
        return self.matches - sum(self.not_entered.values())

    @property
    def planned(self) -> int:
        """How many a wave is expected to have: planning anew while one is under way makes nobody of it unexpected."""
        return self.enters + self.entered


def outlook(
    connection: Connection, ground: Ground, contents: CampaignContents, codes_ahead: Mapping[str, int] | None = None
) -> Outlook:
    """Count everything that can be known before a run; raises AnalystFault where its SQL has no answer.

    `codes_ahead` are the codes that applying it will lay into pools.
    """
    plan = ground.applied.plan
    analysts = tuple(try_it(ground.store, sql, ground.now) for sql in sql_in(*_conditions(ground)))
    people, matches, left_out = _people(connection, ground)
    stocks = {
        pool: Stock(pool, stock_ahead(connection, pool).left + (codes_ahead or {}).get(pool, 0))
        for pool in sorted(pools_of(plan, [plan]))
    }
    firsts = [_first_message(connection, ground, plan, node, people, contents, stocks) for node in first_messages(plan)]
    due = people.c.arrived_at
    first_due, last_due, zones = connection.execute(
        sa.select(sa.func.min(due), sa.func.max(due), sa.func.count(sa.distinct(people.c.zone)))
    ).one()
    gets_it, gets_nothing = _examples(connection, ground, plan, people, contents, stocks)
    return Outlook(
        campaign=plan.campaign,
        title=plan.title,
        at=ground.now,
        contacts=connection.scalar(sa.select(sa.func.count()).select_from(t.contact)) or 0,
        newest_event=connection.scalar(sa.select(sa.func.max(t.event.c.occurred_at))),
        matches=matches,
        is_by_event=not any(isinstance(e, Broadcast) for e in plan.entries),
        not_entered=left_out,
        first_due=first_due,
        last_due=last_due,
        zones=zones,
        first_messages=tuple(firsts),
        under_way=under_way(connection, ground.applied.id),
        gets_it=gets_it,
        gets_nothing=gets_nothing,
        is_wave_ahead=any(_is_ahead(connection, ground, e) for e in plan.entries if isinstance(e, Broadcast)),
        awaits=tuple(one.sentence for one in awaited(connection, ground)),
        waits=worked_waits(connection, ground, plan, first_due or ground.now),
        analysts=analysts,
        tests=tuple(changed_tests(connection, ground, contents.contents)),
        supplies=tuple(_supply(ground.rules, stock) for stock in stocks.values()),
        objections=tuple(_objections(connection, ground)),
        entered=sum(_entered(connection, ground, e) for e in plan.entries if isinstance(e, Broadcast)),
    )


def _conditions(ground: Ground) -> Iterator[Condition]:
    """Those of the campaign and those of the house."""
    yield from conditions_of(ground.applied.plan)
    if ground.rules.exclude is not None:
        yield ground.rules.exclude


def _objections(connection: Connection, ground: Ground) -> Iterator[str]:
    for name, hint in unknown_lists(connection, lists_in(*_conditions(ground))).items():
        yield f'nobody stands on the list "{name}": {hint}'


def _supply(rules: Rules, stock: Stock) -> Supply:
    rule = rules.coupons.get(stock.pool)
    return Supply(stock.pool, stock.left, rule.low if rule is not None else 0)


def _is_ahead(connection: Connection, ground: Ground, entry: Broadcast) -> bool:
    """Whether an occurrence of the entry is still to come, or has come and was not looked at yet."""
    present = next(iter(occasions(ground, entry)), None)
    if present is not None and present.is_recent(ground.now) and _wave_of(connection, ground, entry, present) is None:
        return True
    return next_occasion_of(ground, entry) is not None


def _wave_of(connection: Connection, ground: Ground, entry: Broadcast, occasion: Occasion) -> int | None:
    w = t.wave.c
    mine = sa.and_(w.campaign_id == ground.applied.id, w.entry == entry_key(entry), w.ref == occasion.ref)
    return connection.scalar(sa.select(w.id).where(mine))


def _entered(connection: Connection, ground: Ground, entry: Broadcast) -> int:
    """Of those whom the present occurrence would take in: who does not enter because they are of its wave."""
    present = next(iter(occasions(ground, entry)), None)
    wave_id = None if present is None else _wave_of(connection, ground, entry, present)
    if wave_id is None:
        return 0
    e, rows = t.enrolment.c, _asked(ground, 0, entry).subquery("asked")
    is_of_it = sa.exists().where(
        e.campaign_id == ground.applied.id, e.contact_id == rows.c.contact_id, e.wave_id == wave_id
    )
    n = sa.select(sa.func.count()).select_from(rows).where(rows.c.reason.in_((UNDER_WAY, AGAIN)), is_of_it)
    return connection.scalar(n) or 0


def first_messages(plan: Plan) -> Iterator[MessageNode]:
    """The messages that are reached without any answer: from the start through waits and splits."""
    ahead, seen = [plan.first], set[str]()
    while ahead:
        step_id = ahead.pop(0)
        if step_id is None or step_id in seen:
            continue
        seen.add(step_id)
        match plan.node(step_id):
            case MessageNode() as node:
                yield from ways_of(node)
            case WaitNode(next=following) | ActNode(next=following):
                ahead.append(following)
            case SplitNode(arms=arms):
                ahead += [arm.next for arm in arms]
            case _:
                pass


def _people(connection: Connection, ground: Ground) -> tuple[sa.Subquery, int, dict[str, int]]:
    """Everybody who would enter (as a subquery), how many matched, and why the others would not enter."""
    all_rows = sa.union_all(
        *(_asked(ground, number, entry) for number, entry in enumerate(ground.applied.plan.entries))
    )
    rows = all_rows.subquery("asked")
    if len(ground.applied.plan.entries) > 1:
        # Whom two entries would take in enters by the first: nobody is under way twice for the same thing.
        order = [rows.c.reason.is_not(None), rows.c.number]
        place = sa.func.row_number().over(partition_by=[rows.c.contact_id, rows.c.thing], order_by=order)
        ranked = sa.select(rows, place.label("place")).subquery("ranked")
        rows = sa.select(ranked).where(ranked.c.place == 1).subquery("everybody")
    counts: dict[str | None, int] = dict(
        connection.execute(sa.select(rows.c.reason, sa.func.count()).group_by(rows.c.reason)).tuples().all()
    )
    entering = sa.select(rows).where(rows.c.reason.is_(None)).subquery("entering")
    left_out = {why: n for why, n in counts.items() if why is not None}
    return entering, sum(counts.values()), left_out


def _asked(ground: Ground, number: int, entry: PlanEntry) -> sa.Select[Any]:
    """Whom one entry would take in, and why it would not."""
    people = would_enter(ground, entry).subquery("candidate")
    columns = ("contact_id", "arrived_at", "thing", "trigger_at", "trigger_hash", "zone", "h31")
    reason = not_entered(ground, entry.again, people).label("reason")
    return sa.select(*(people.c[name] for name in columns), reason, sa.literal(number).label("number"))


def as_enrolled(ground: Ground, plan: Plan, people: sa.Subquery) -> sa.Subquery:
    """The people as the rows they would become, so that the decision can be asked of them."""
    p = people.c
    nothing = sa.cast(sa.null(), sa.BigInteger())
    return sa.select(
        # Below zero: no enrolment has this id, so no answer of somebody else's can be read by it.
        (-p.contact_id).label("id"),
        p.contact_id,
        sa.literal(ground.applied.id).label("campaign_id"),
        sa.literal(0, sa.BigInteger()).label("wave_id"),
        role_of(ground.applied.seed, plan, ground.rules.holdout, p.h31).label("role"),
        nothing.label("node_id"),
        p.thing,
        p.arrived_at,
        p.arrived_at.label("due_at"),
        p.arrived_at.label("entered_at"),
        p.trigger_at,
        p.trigger_hash,
        nothing.label("answer_at"),
        nothing.label("answer_hash"),
    ).subquery("due")


def _question(
    connection: Connection,
    ground: Ground,
    plan: Plan,
    node: MessageNode,
    contents: CampaignContents,
    stocks: Mapping[str, Stock],
) -> Question:
    own_clock = any(isinstance(e, Scheduled) and e.zone == "contact" for e in plan.entries)
    languages = sorted({language for language, _ in contents.of(node)})
    zone = None if own_clock else ground.rules.timezone
    limits = limits_of(connection, ground.rules, plan, plan, node, ground.topics, ground.now)
    purse = None
    if plan.marketing and not node.is_ours:
        parts = _parts(ground, node, contents)
        purse = purse_of(connection, ground.rules, plan.budget, ground.applied.id, str(node.channel), parts, ground.now)
    return Question(
        plan, node, ground.applied.nodes[node.id], ground.rules, ground.moment, languages, zone, limits, purse,
        stocks.get(pool_of(plan, node) or ""),
    )  # fmt: skip


def _parts(ground: Ground, node: MessageNode, contents: CampaignContents) -> dict[str, int]:
    """Language → the most segments that an SMS is sent in; empty for other channels."""
    parts: dict[str, int] = {}
    for language, content in contents.of(node):
        if node.channel is Channel.SMS:
            parts[language] = max(parts.get(language, 1), planned_parts(content, ground.rules.sms_footer))
    return parts


def _first_message(
    connection: Connection,
    ground: Ground,
    plan: Plan,
    node: MessageNode,
    people: sa.Subquery,
    contents: CampaignContents,
    stocks: Mapping[str, Stock],
) -> FirstMessage:
    question = _question(connection, ground, plan, node, contents, stocks)
    decided = decisions(question, as_enrolled(ground, plan, people)).subquery("decided")
    d = decided.c
    rows = connection.execute(
        sa.select(d.reason, d.language, d.country, sa.func.count().label("n")).group_by(d.reason, d.language, d.country)
    ).all()
    skipped, languages, countries, later = dict[str, int](), dict[str, int](), dict[str, int](), dict[str, int]()
    for reason, language, country, n in rows:
        if reason in WAITS:
            later[reason] = later.get(reason, 0) + n
        if reason is None or reason in WAITS:
            languages[language] = languages.get(language, 0) + n
            countries[country or "?"] = countries.get(country or "?", 0) + n
        else:
            skipped[reason] = skipped.get(reason, 0) + n
    held = skipped.pop(SkipReason.HOLDOUT, 0)
    return FirstMessage(
        step_id=node.id,
        channel=str(node.channel),
        is_one_of_several=bool(node.others or node.behind),
        reached=sum(r.n for r in rows),
        gets=sum(languages.values()),
        held=held,
        skipped=dict(sorted(skipped.items())),
        later=dict(sorted(later.items())),
        languages=dict(sorted(languages.items())),
        countries=dict(sorted(countries.items(), key=lambda item: -item[1])),
        cost=_cost(ground, node, [r for r in rows if r.reason is None or r.reason in WAITS], contents),
        lacking=_lacking(connection, ground, node, decided, contents),
        pace=_pace(connection, ground, plan, node, decided),
    )


def _pace(
    connection: Connection, ground: Ground, plan: Plan, node: MessageNode, decided: sa.Subquery
) -> PaceAhead | None:
    """The hand-over of those who get it, at the pace of their channel; of scheduled entries only: events come one by one."""
    its = ground.rules.limits.pace.get(node.channel)
    sender = sender_of(ground.rules, plan, node)
    if its is None or sender is None or not any(isinstance(entry, Broadcast) for entry in plan.entries):
        return None
    d = decided.c
    leaves_at = sa.func.coalesce(d.wait_until, d.due_at)
    gets = sa.or_(d.reason.is_(None), d.reason.in_(sorted(WAITS)))
    due = connection.execute(
        sa.select(leaves_at, sa.func.count()).where(gets).group_by(leaves_at).order_by(leaves_at)
    ).tuples()
    return pace_ahead(connection, sender.connector, its, due.all(), MOST_AT_ONCE, ground.now)


def _cost(ground: Ground, node: MessageNode, sent: Sequence[sa.Row[Any]], contents: CampaignContents) -> float | None:
    """What these counts by language and country cost, as reserve reckons it."""
    prices = {"": 0.0} if node.is_ours else ground.rules.costs.get(str(node.channel))
    if prices is None:
        return None
    parts = _parts(ground, node, contents)
    return float(sum(r.n * parts.get(r.language, 1) * prices.get(r.country or "", prices[""]) for r in sent))


def _lacking(
    connection: Connection, ground: Ground, node: MessageNode, decided: sa.Subquery, contents: CampaignContents
) -> dict[str, int]:
    """Fields that a message of this step needs and does not default, and how many who get it lack them."""
    required = {
        path.removeprefix("contact.")
        for _, content in contents.of(node)
        for path in content.required_paths
        if path.startswith("contact.") and "[" not in path
    }
    if not required:
        return {}
    lacks = {
        name: where(ContactIs((FieldTest(name, "word", "exists", False),)), of_contact(), ground.moment)
        for name in sorted(required)
    }
    counts = connection.execute(
        sa.select(
            *(sa.func.coalesce(sa.func.sum(sa.case((lack, 1), else_=0)), 0).label(n) for n, lack in lacks.items())
        )
        .join_from(decided, t.contact, t.contact.c.id == decided.c.contact_id)
        .where(sa.or_(decided.c.reason.is_(None), decided.c.reason.in_(sorted(WAITS))))
    ).one()
    return {f"contact.{name}": int(n) for name, n in zip(lacks, counts, strict=True) if n}


def _examples(
    connection: Connection,
    ground: Ground,
    plan: Plan,
    people: sa.Subquery,
    contents: CampaignContents,
    stocks: Mapping[str, Stock],
) -> tuple[str | None, tuple[str, str] | None]:
    """Two real contacts: one who gets the first message, one who does not, with the reason."""
    ways = [node for node in first_messages(plan) if not node.is_ours]
    first = [node for node in ways if node.id == ways[0].id]
    gets = not_ = None
    for node in first:
        question = _question(connection, ground, plan, node, contents, stocks)
        decided = decisions(question, as_enrolled(ground, plan, people)).subquery("decided")
        who = (
            sa.select(t.contact.c.shop_id, decided.c.reason)
            .join_from(decided, t.contact, t.contact.c.id == decided.c.contact_id)
            .order_by(decided.c.contact_id)
            .limit(1)
        )
        is_got = sa.or_(decided.c.reason.is_(None), decided.c.reason.in_(sorted(WAITS)))
        gets = gets or connection.execute(who.where(is_got)).one_or_none()
        not_ = not_ or connection.execute(who.where(sa.not_(is_got))).one_or_none()
    return (gets.shop_id if gets else None), ((not_.shop_id, not_.reason) if not_ else None)
