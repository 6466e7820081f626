"""The report of a campaign, read from the store in set queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from carillon.evaluation.attribution import Credited, credited
from carillon.evaluation.collect import collect
from carillon.evaluation.exposed import SENT_STATES, of_campaign
from carillon.evaluation.model import ArmFigures, TestResult
from carillon.evaluation.of_campaign import Asked, holdout_result, results
from carillon.journey.ground import Ground, load_ground
from carillon.journey.leave import GHOST
from carillon.kernel.channels import OURS
from carillon.plan.applied import applied_names, load_campaign
from carillon.plan.model import MessageNode
from carillon.reports.measured import measured
from carillon.reports.model import LeaderRow, Money, Question, Report, Sibling, StepReport, Totals
from carillon.store import tables as t

ALL = "all"


def build_report(connection: Connection, ground: Ground) -> Report:
    """What is true of the campaign at the ground's instant."""
    applied, plan = ground.applied, ground.applied.plan
    e, w = t.enrolment.c, t.wave.c
    mine = e.campaign_id == applied.id
    entered = connection.scalar(sa.select(sa.func.count()).where(mine)) or 0
    under_way = connection.scalar(sa.select(sa.func.count()).where(mine, e.state == "live")) or 0
    exits = dict(
        connection.execute(
            sa.select(e.exit_code, sa.func.count()).where(mine, e.state == "done").group_by(e.exit_code)
        ).tuples().all()
    )  # fmt: skip
    not_entered: Counter[str] = Counter()
    for left_out in connection.scalars(sa.select(w.left_out).where(w.campaign_id == applied.id)):
        not_entered.update({reason: int(n) for reason, n in left_out.items()})
    steps = tuple(_step(connection, ground, node) for node in _message_nodes(ground))
    totals = _totals_of_campaign(connection, ground, steps)
    holdout = holdout_result(connection, ground)
    return Report(
        campaign=applied.name,
        title=plan.title,
        at=ground.now,
        zone=ground.rules.timezone,
        currency=ground.rules.currency,
        state=applied.hold_reason or (applied.operator_state if applied.operator_state != "running" else plan.state),
        entered=entered,
        under_way=under_way,
        not_entered=dict(not_entered),
        exits={code or "?": n for code, n in sorted(exits.items(), key=lambda item: -item[1])},
        totals=totals,
        steps=steps,
        leaders=_leaders(connection, ground),
        questions=tuple(_question(a, ground.now) for a in results(connection, ground)),
        holdout=holdout,
        money=_money(connection, ground, holdout, totals),
        target=plan.target,
        also=measured(connection, ground),
        series=plan.series,
        siblings=tuple(_siblings(connection, ground)),
        newest_event=connection.scalar(sa.select(sa.func.max(t.event.c.occurred_at))),
        newest_feedback=connection.scalar(
            sa.select(sa.func.max(t.event.c.occurred_at)).where(t.event.c.kind.like("message.%"))
        ),
    )


def _message_nodes(ground: Ground) -> list[MessageNode]:
    """The messages of all versions that people are on, each once, the live plan's first."""
    plans = [ground.applied.plan, *ground.applied.versions.values()]
    return list({node.id: node for plan in plans for node in plan.messages}.values())


def _step(connection: Connection, ground: Ground, node: MessageNode) -> StepReport:
    s, b, r, standing = t.send.c, t.batch.c, t.response.c, t.standing.c
    node_id = ground.applied.nodes[node.id]
    state = sa.func.coalesce(s.outcome, b.state)
    source = (
        t.send.outerjoin(t.batch, b.id == s.batch_id)
        .outerjoin(t.response, sa.and_(r.node_id == s.node_id, r.enrolment_id == s.enrolment_id))
        .outerjoin(t.standing, standing.contact_id == s.contact_id)
    )
    counted = (
        "delivered_at", "first_open", "first_click", "bounced_at", "complained_at", "unsubscribed_at",
    )  # fmt: skip
    hidden = sa.case((sa.and_(r.first_open.is_(None), r.machine_open.is_not(None)), 1), else_=0)
    rows = connection.execute(
        sa.select(
            state.label("state"), s.arm, standing.language, standing.country, sa.func.count().label("n"),
            *(sa.func.count(r[name]).label(name) for name in counted), sa.func.sum(hidden).label("hidden"),
        )
        .select_from(source)
        .where(s.node_id == node_id)
        .group_by(state, s.arm, standing.language, standing.country)
    ).all()  # fmt: skip
    states: Counter[str] = Counter()
    parts: dict[str, Counter[tuple[str, str]]] = {"arm": Counter(), "language": Counter(), "country": Counter()}
    total: Counter[str] = Counter()
    for row in rows:
        states[row.state] += row.n
        if row.state not in SENT_STATES:
            continue
        told = {
            "sent": row.n, "delivered": row.delivered_at, "opened": row.first_open, "hidden_opens": int(row.hidden),
            "clicked": row.first_click, "bounced": row.bounced_at, "complained": row.complained_at,
            "unsubscribed": row.unsubscribed_at,
        }  # fmt: skip
        total.update(told)
        for part, key in (("arm", row.arm), ("language", row.language), ("country", row.country)):
            parts[part].update({(key or "?", name): n for name, n in told.items()})
    e = t.enrolment.c
    undecided = sa.not_(sa.exists().where(s.node_id == node_id, s.enrolment_id == e.id))
    waiting = connection.scalar(
        sa.select(sa.func.count()).select_from(t.enrolment).where(e.node_id == node_id, e.state == "live", undecided)
    )
    exited = connection.scalar(
        sa.select(sa.func.count()).select_from(t.enrolment).where(e.node_id == node_id, e.state == "done", undecided)
    )
    prefix = "skipped:"
    return StepReport(
        step_id=node.id,
        channel=str(node.channel),
        totals=Totals(**total),
        unsure=states["unsure"] + states["closed"],
        rejected=states["rejected"],
        waiting=(waiting or 0) + states["ready"] + states["claimed"],
        ghosts=states[GHOST],
        exited=exited or 0,
        skipped={k.removeprefix(prefix): n for k, n in sorted(states.items()) if _is_skip(k)},
        by_variant=_by(parts["arm"]) if node.test else {},
        by_language=_by(parts["language"]),
        by_country=_by(parts["country"]),
    )


def _is_skip(state: str) -> bool:
    return state.startswith("skipped:") or state in ("exited", "withdrawn", "suppressed", "no_consent", "no_address")


def _by(counts: Mapping[tuple[str, str], int]) -> dict[str, Totals]:
    keys = sorted({key for key, _ in counts}, key=lambda key: -counts[key, "sent"])
    names = {name for _, name in counts}
    return {key: Totals(**{name: counts[key, name] for name in names}) for key in keys}


def _totals_of_campaign(connection: Connection, ground: Ground, steps: tuple[StepReport, ...]) -> Totals:
    """Sums over the steps; conversions and revenue are of people who were sent anything, each goal event once."""
    node_ids = [ground.applied.nodes[s.step_id] for s in steps]
    exposed = of_campaign(ground.applied.id)
    (figures,) = collect(connection, exposed, (ALL,), node_ids, ground.applied.plan.goal, ground.moment)
    return Totals(
        sent=sum(s.totals.sent for s in steps if s.channel not in OURS),
        delivered=sum(s.totals.delivered for s in steps),
        opened=figures.opens,
        hidden_opens=figures.hidden_opens,
        clicked=figures.clicks,
        conversions=figures.conversions,
        revenue=round(figures.revenue.sum),
        bounced=sum(s.totals.bounced for s in steps),
        complained=sum(s.totals.complained for s in steps),
        unsubscribed=sum(s.totals.unsubscribed for s in steps),
    )


def _siblings(connection: Connection, ground: Ground) -> Iterator[Sibling]:
    mine = ground.applied.plan.series
    if mine is None:
        return
    others = [load_campaign(connection, name) for name in applied_names(connection) if name != ground.applied.name]
    for other in sorted((o for o in others if o.plan.series == mine), key=lambda o: (o.first_applied_at, o.name)):
        its = load_ground(ground.store, other.name, ground.now)
        steps = tuple(_step(connection, its, node) for node in _message_nodes(its))
        yield Sibling(other.name, other.plan.title, _totals_of_campaign(connection, its, steps))


def _leaders(connection: Connection, ground: Ground) -> tuple[LeaderRow, ...]:
    lead = t.leader.c
    rows = connection.execute(
        sa.select(t.leader).where(lead.experiment.like(f"{ground.applied.name}/%")).order_by(lead.decided_at)
    ).all()
    return tuple(
        LeaderRow(
            r.experiment.partition("/")[2], r.arm, r.decided_at, r.evidence.get("reason", ""), r.evidence.get("p_best")
        )
        for r in rows
    )


def _question(asked: Asked, now: int) -> Question:
    ahead = () if asked.ended_at is not None else (at for at in asked.plan.looks_at if at > now)
    return Question(asked.step_id, asked.result, min(ahead, default=None), asked.ended_at)


def _money(connection: Connection, ground: Ground, holdout: TestResult | None, totals: Totals) -> Money:
    plan = ground.applied.plan
    spend = float(plan.spend or 0) * 100
    sent = _cost(connection, ground)
    cost = None if sent is None else sent + spend
    mine: Credited | None = None
    if plan.goal is not None and plan.marketing:
        mine = credited(connection, ground.applied.id, ground.rules, plan.goal, ground.moment)
    beside = Money(
        cost, None, None, None, None, spend=spend, attributed=mine.cents if mine else None,
        attributed_orders=mine.orders if mine else 0, attributed_roi=_roi(ground, mine.cents, cost) if mine else None,
    )  # fmt: skip
    if holdout is None:
        return beside
    treated: ArmFigures = holdout.arms[1]
    revenue = next(c for c in holdout.comparisons if c.metric == "revenue")
    incremental = revenue.difference * treated.exposed
    low, high = revenue.interval.low * treated.exposed, revenue.interval.high * treated.exposed
    roi, roi_low, roi_high = (_roi(ground, earned, cost) for earned in (incremental, low, high))
    return replace(
        beside, incremental=incremental, incremental_low=low, incremental_high=high, roi=roi, roi_low=roi_low,
        roi_high=roi_high,
    )  # fmt: skip


def _roi(ground: Ground, earned: float, cost: float | None) -> float | None:
    if not cost or ground.rules.margin is None:
        return None
    return (ground.rules.margin * earned - cost) / cost


def _cost(connection: Connection, ground: Ground) -> float | None:
    """Cents, by the prices of workspace.yaml; None where a used channel has no price."""
    s, b, standing = t.send.c, t.batch.c, t.standing.c
    rows = connection.execute(
        sa.select(s.channel, standing.country, sa.func.count())
        .join_from(t.send, t.batch, b.id == s.batch_id)
        .join(t.standing, standing.contact_id == s.contact_id)
        .where(b.campaign_id == ground.applied.id, sa.func.coalesce(s.outcome, b.state).in_(SENT_STATES))
        .where(s.channel.not_in(OURS))
        .group_by(s.channel, standing.country)
    ).all()
    total = 0.0
    for channel, country, n in rows:
        prices: Mapping[str, Any] | None = ground.rules.costs.get(channel)
        if prices is None:
            return None
        total += n * prices.get(country, prices[""]) * 100
    return total
