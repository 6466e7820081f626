"""Which words of the language have no engine yet. An issue that builds one deletes its line here and nothing else.

A word is named by where it stands: `step.wait_for`, `campaign.expect`, `condition.sql`, `event.survey.answered`.
"""

from __future__ import annotations

NOT_YET = frozenset(
    {
        # journeys
        "reach.push",
        "reach.whatsapp",
        # evaluation
        # people (⟨B⟩)
        "data.surveys",
        "data.scores",
        "data.loyalty",
        "data.lifecycle",
        "entry.product",
        "step.push",
        "step.whatsapp",
        "step.points",
        "step.score",
        "condition.lifecycle",
        "condition.mark",
        "condition.rfm",
        "condition.churn_risk",
        "condition.predicted_value",
        "condition.next_order",
        "condition.score",
        "condition.points",
        "condition.tier",
        "event.survey.answered",
        "event.points.earned",
        "event.points.redeemed",
        "event.points.expiring",
        "event.tier.changed",
        "event.referral.completed",
        "event.product.price_dropped",
        "event.product.back_in_stock",
    }
)


def is_available(word: str) -> bool:
    """Whether an engine stands behind the word."""
    return word not in NOT_YET
