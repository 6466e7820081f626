"""Who hands a message over: the sender of its channel, for one of ours the mail's, for a webhook the line of its name."""

from __future__ import annotations

from carillon.kernel.channels import Channel
from carillon.plan.model import MessageNode, Plan
from carillon.plan.rules import Rules, SenderRule


def sender_of(rules: Rules, plan: Plan, node: MessageNode) -> SenderRule | None:
    """The sender of a message of this plan; None where workspace.yaml has none."""
    match node.channel:
        case Channel.WEBHOOK:
            return next((s for s in rules.senders if s.channel == node.channel and s.name == node.message), None)
        case Channel.NOTIFY:
            return rules.sender(Channel.EMAIL, topic=plan.topic, named=plan.sender)
        case _:
            return rules.sender(node.channel, topic=plan.topic, named=plan.sender)


def sending_channel(channel: Channel) -> Channel:
    """The channel of the senders that carry it: `notify` is a mail."""
    return Channel.EMAIL if channel is Channel.NOTIFY else channel
