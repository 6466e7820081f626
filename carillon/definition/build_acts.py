"""`set`, `unsubscribe` and `enter`: words → what is done to the contact."""

from __future__ import annotations

from carillon.definition.build_conditions import Names
from carillon.definition.campaign_words import EnterWords, SetWords, UnsubscribeWords
from carillon.definition.conditions import FieldTest, Scalar
from carillon.definition.field_tests import tests_of
from carillon.definition.model import EnterCampaign, SetFields, Unsubscribe
from carillon.definition.nodes import Text
from carillon.kernel.channels import Channel
from carillon.kernel.problems import did_you_mean


def act_of(words: SetWords | UnsubscribeWords | EnterWords, names: Names) -> SetFields | Unsubscribe | EnterCampaign:
    """What the words do; what they cannot do is noted."""
    match words:
        case SetWords():
            return SetFields(tuple(pair for name, value in words.set.items() for pair in _value(name, value, names)))
        case UnsubscribeWords():
            topic, channel, reason = words.unsubscribe.topic, words.unsubscribe.channel, words.unsubscribe.reason
            if topic not in names.topics:
                names.unknown(topic, "topic", names.topics)
            return Unsubscribe(str(topic), Channel(channel) if channel is not None else None, str(reason or ""))
        case EnterWords():
            if words.enter not in names.campaigns:
                names.unknown(words.enter, "campaign", names.campaigns)
            elif words.enter == names.campaign:
                names.wrong(words.enter, "nobody enters the campaign that they are under way in", "another campaign")
            return EnterCampaign(str(words.enter))


def _value(name: Text, value: Text, names: Names) -> list[tuple[str, Scalar]]:
    declared = names.contact.get(name)
    if declared is None:
        writable = [field for field, known in names.contact.items() if known.set_by_campaigns]
        names.typing.reading.note(
            name.at, 4, f'a contact has no field "{name}"', suggestion=did_you_mean(name, writable)
        )
        return []
    if not declared.set_by_campaigns:
        names.wrong(name, f'"{name}" is not set by campaigns', "set_by: campaigns beside it in data.yaml")
        return []
    if declared.type == "list":
        names.wrong(value, f'"{name}" is a list, which no step can write', "a field of another type")
        return []
    tests = tests_of({name: value}, {str(name): declared}, "a contact", names.typing)
    return [(str(name), t.value) for t in tests if isinstance(t, FieldTest) and isinstance(t.value, Scalar)]
