"""An assignment passed in: a split whose arms were drawn elsewhere, for an experiment that is continued or replayed.

The ledger keeps who took which branch (`passage`), and `move` draws only for those who have no branch yet. So an
assignment is passed in by writing their branches before they are moved on; everything behind it is as with a split of our
own: sticky, counted, compared by intention to treat. A `choose` on a contact's field would send the same messages, but
nobody would be compared.
"""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from carillon.journey.ground import Ground
from carillon.plan.model import SplitNode
from carillon.store import tables as t
from carillon.store.bulk import insert_rows


def pass_in(ground: Ground, step_id: str, arms: Mapping[str, str]) -> int:
    """Give those who stand at a split the arm that `arms` says (the shop's id → arm); returns how many got theirs.

    Raises ValueError for an arm that the split does not have. Who is not named, or does not stand there, is left alone.
    """
    node = ground.applied.plan.node(step_id)
    if not isinstance(node, SplitNode):
        raise ValueError(f"{step_id} is no split")
    known = {arm.name for arm in node.arms}
    if strange := sorted(set(arms.values()) - known):
        raise ValueError(f"{step_id} has no arm {strange[0]!r}; there are: {', '.join(sorted(known))}")
    node_id = ground.applied.nodes[step_id]
    e, p, c = t.enrolment.c, t.passage.c, t.contact.c
    has_branch = sa.exists().where(p.node_id == node_id, p.enrolment_id == e.id)
    with ground.store.write("ledger") as connection:
        standing = connection.execute(
            sa.select(e.id, c.shop_id, e.due_at)
            .join_from(t.enrolment, t.contact, c.id == e.contact_id)
            .where(e.node_id == node_id, e.state == "live", sa.not_(has_branch))
            .order_by(e.id)
        )
        rows = [(node_id, who, arms[shop_id], at) for who, shop_id, at in standing if shop_id in arms]
        return insert_rows(connection, t.passage, ("node_id", "enrolment_id", "branch", "at"), rows)
