"""Double opt-in as a campaign that the workspace itself writes: one for each topic and channel whose yes is asked for twice.

A sign-up is an event, the mail that asks is a send, the confirmation is the goal; so it has the claim, the ledger and the
words of any campaign. What stands here are its rules (docs/decisions/0025).
"""

from __future__ import annotations

from collections.abc import Iterator

from carillon.definition.conditions import All, Compare, Consented, FieldTest, Not, Responded
from carillon.definition.entries import OnEvent
from carillon.definition.model import Audience, Campaign, Goal, Send, Topic, Workspace
from carillon.kernel.channels import Channel
from carillon.kernel.durations import Span

SIGNED_UP, SUBSCRIBED = "contact.signed_up", "contact.subscribed"

PREFIX = "confirm-"
"""No folder and no topic of a workspace can be called so: their names have no dashes."""
ASKS_BY = (Channel.EMAIL, Channel.SMS)
"""The channels on which a link can be sent."""

LINK_LASTS = Span(seconds=7 * 86_400)
"""From the hand-over on. A sign-up older than that is not answered any more either."""
AGAIN_AFTER = Span(seconds=86_400)
"""Who signs up again sooner has the mail already."""
MOST_ASKED, ASKED_WITHIN = 3, Span(seconds=30 * 86_400)
"""Nobody can fill a stranger's mailbox with a form."""


def is_confirmation(campaign: str) -> bool:
    """Whether the campaign is one that the workspace writes itself."""
    return campaign.startswith(PREFIX)


def asked_for(topic: str) -> str:
    """The topic whose yes is meant: who leaves by the message that asks leaves the topic itself."""
    return topic.removeprefix(PREFIX)


def asking_topic(topic: Topic) -> Topic:
    """The transactional topic under which a topic's second yes is asked for."""
    return Topic(PREFIX + topic.name, "transactional", topic.titles, {}, topic.sender, asks_for=topic.name)


def asking_topics(workspace: Workspace) -> tuple[Topic, ...]:
    """Those of all topics that have a `confirm`."""
    return tuple(asking_topic(topic) for topic in workspace.topics.values() if topic.confirm is not None)


def topic_of(workspace: Workspace, name: str) -> Topic:
    """The topic of a campaign; raises KeyError where there is none of this name."""
    asked = workspace.topics.get(asked_for(name)) if is_confirmation(name) else None
    return workspace.topics[name] if asked is None else asking_topic(asked)


def twice(topic: Topic) -> tuple[Channel, ...]:
    """The channels on which the topic wants a second yes."""
    return tuple(channel for channel, kind in topic.consent.items() if kind == "double")


def confirmations(workspace: Workspace) -> Iterator[Campaign]:
    """The campaigns that ask."""
    for topic in workspace.topics.values():
        if topic.confirm is not None:
            for channel in twice(topic):
                if channel in ASKS_BY:
                    yield _confirmation(topic, channel, topic.confirm)


def _confirmation(topic: Topic, channel: Channel, message: str) -> Campaign:
    name = f"{PREFIX}{topic.name}-{channel}"
    about = (FieldTest("topic", "word", "is", topic.name), FieldTest("channel", "word", "is", str(channel)))
    asked_enough = Responded("received", "campaign", name, ASKED_WITHIN, Compare("at_least", MOST_ASKED))
    return Campaign(
        name=name,
        title=f"Confirm {next(iter(topic.titles.values()), topic.name)} by {channel}",
        topic=PREFIX + topic.name,
        entries=(OnEvent(SIGNED_UP, about, None, LINK_LASTS, AGAIN_AFTER),),
        audience=Audience(All((Not(Consented(str(channel), topic.name)), Not(asked_enough)))),
        journey=(Send(f"{channel}.{message}", channel, message),),
        goal=Goal(SUBSCRIBED, LINK_LASTS, where=about),
        exits_on_goal=True,
    )
