"""JSON Schemas for editors, out of the same models that read the files, with this workspace's own names as completions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from carillon.definition.availability import is_available
from carillon.definition.campaign_words import CampaignWords
from carillon.definition.confirming import is_confirmation
from carillon.definition.load import Loaded
from carillon.definition.meanings import MEANINGS
from carillon.definition.model import walk
from carillon.definition.words import Words
from carillon.definition.workspace_words import DataWords, MessageWordsFile, SegmentFileWords, WorkspaceWords
from carillon.kernel.channels import Channel

Schema = dict[str, Any]

FILES: Mapping[str, tuple[type[Words], tuple[str, ...]]] = {
    "workspace.json": (WorkspaceWords, ("workspace.yaml", "workspace.*.yaml")),
    "data.json": (DataWords, ("data.yaml",)),
    "segment.json": (SegmentFileWords, ("segments/*.yaml",)),
    "campaign.json": (CampaignWords, ("*/campaign.yaml",)),
    "message.json": (MessageWordsFile, ("*/messages/*.yaml", "messages/*.yaml")),
}
"""Schema → its model and the files it is for, below the workspace."""

_FREE = ("step", "new", "connector")
"""Kinds of names that may be completed but not closed: they are made where they are written."""


def schemas(loaded: Loaded) -> dict[str, Schema]:
    """File name → JSON Schema (draft 2020-12)."""
    names = _names(loaded)
    fields = _fields(loaded)
    found = {}
    for file, (model, _) in FILES.items():
        raw = model.model_json_schema(by_alias=True)
        finished = _Finish(names, raw.get("$defs", {})).finish(raw)
        _complete_fields(finished, fields)
        finished.setdefault("$defs", {})["value"] = _value(loaded)
        _explain(finished, model)
        found[file] = {"$schema": "https://json-schema.org/draft/2020-12/schema", **finished}
    return found


def _names(loaded: Loaded) -> dict[str, list[str]]:
    workspace = loaded.workspace
    steps = {step.id for campaign in loaded.campaigns.values() for step in walk(campaign.journey)}
    messages = {name for of_campaign in loaded.messages.values() for name in of_campaign}
    campaigns = [name for name in loaded.messages if not is_confirmation(name)]
    return {
        "segment": sorted(loaded.segments),
        "event": sorted(name for name in loaded.data.events if is_available(f"event.{name}")),
        "campaign": sorted(campaigns),
        "topic": sorted(workspace.topics),
        "sender": sorted({name for senders in workspace.senders.values() for name in senders}),
        "connector": ["sandbox", "sendgrid", "smtp", "twilio", "webhook"],
        "webhook": sorted(workspace.senders.get(Channel.WEBHOOK, {})),
        "message": sorted(messages),
        "step": ["any", "entry", *sorted(steps | messages)],
    }


def _fields(loaded: Loaded) -> dict[str, list[str]]:
    return {
        "contact": sorted(loaded.data.contact),
        "event": sorted({name for fields in loaded.data.events.values() for name in fields}),
    }


def _value(loaded: Loaded) -> Schema:
    return {
        "type": "object",
        "description": "A word of values.yaml.",
        "properties": {"value": {"enum": sorted(loaded.values)}},
        "required": ["value"],
        "additionalProperties": False,
    }


class _Finish:
    """Turns pydantic's schema into one that fits to what an editor reads from YAML."""

    def __init__(self, names: Mapping[str, list[str]], defs: Mapping[str, Schema]) -> None:
        self.names, self.defs = names, defs

    def finish(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.finish(one) for one in node]
        if not isinstance(node, dict):
            return node
        if "x-names" in node:
            return self._named(node["x-names"])
        if "x-condition" in node:
            return self._condition()
        if "x-audience" in node:
            return self._audience()
        if node.get("type") == "string":
            return self._text(node)
        return self._plain(node)

    def _plain(self, node: Schema) -> Schema:
        kept = {key: value for key, value in node.items() if not self._is_noise(key, value)}
        choices = [one for one in kept.pop("anyOf", []) if one != {"type": "null"}]
        finished = {
            key: {name: self.finish(one) for name, one in value.items()} if key in _MAPS else self.finish(value)
            for key, value in kept.items()
        }
        if len(choices) == 1:
            return {**self.finish(choices[0]), **finished}
        return {**({"anyOf": self.finish(choices)} if choices else {}), **finished}

    def _is_noise(self, key: str, value: object) -> bool:
        return (key == "title" and isinstance(value, str)) or (key == "default" and value is None)

    def _named(self, kind: str) -> Schema:
        known = self.names.get(kind, [])
        if kind in _FREE or not known:
            return {"anyOf": [{"enum": known}, {"type": "string"}]} if known else {"type": "string"}
        return {"enum": known}

    def _text(self, node: Schema) -> Schema:
        """YAML makes numbers and flags of some texts; and any text may be a word of values.yaml."""
        text = {key: value for key, value in node.items() if key != "title"}
        return {"anyOf": [{**text, "type": ["string", "number", "boolean"]}, {"$ref": "#/$defs/value"}]}

    def _heads(self) -> Iterable[str]:
        return [name for name, schema in self.defs.items() if name in _CONDITIONS]

    def _condition(self) -> Schema:
        one = {"oneOf": [{"$ref": f"#/$defs/{name}"} for name in self._heads()]}
        return {"anyOf": [one, {"type": "array", "items": one}]}

    def _audience(self) -> Schema:
        properties: Schema = {}
        for name in self._heads():
            properties |= {key: self.finish(value) for key, value in self.defs[name].get("properties", {}).items()}
        properties |= {"exclude": self._condition(), "top": {"type": "object"}}
        mapping = {"type": "object", "properties": properties, "additionalProperties": False}
        return {"anyOf": [{"const": "everyone"}, mapping, {"type": "array", "items": self._condition()}]}


_MAPS = ("properties", "$defs")
_CONDITIONS = frozenset(
    {
        "AllWords", "AnyWords", "NotWords", "ContactWords", "EventWords", "SegmentWords", "ListWords", "ReceivedWords",
        "ReachableWords", "ConsentWords", "EnrolledInWords", "TriggerWords", "AnswerWords", "CouponWords", "SqlWords",
        "PeopleWords",
    }
)  # fmt: skip


def _explain(schema: Schema, top: type[Words]) -> None:
    """What each key means, for the editor to show beside it."""
    models = {model.__name__: model for model in all_words(Words)}
    for name, definition in [(top.__name__, schema), *schema["$defs"].items()]:
        part = models[name].part if name in models else ""
        for key, value in definition.get("properties", {}).items():
            meaning = MEANINGS.get(f"{part}.{key}")
            if meaning is not None and "$ref" not in value:
                value["description"] = meaning


def all_words(model: type[Words]) -> Iterator[type[Words]]:
    """Every mapping of the language, below this one."""
    for one in model.__subclasses__():
        yield one
        yield from all_words(one)


def _complete_fields(schema: Schema, fields: Mapping[str, list[str]]) -> None:
    for name, definition in schema.get("$defs", {}).items():
        properties = definition.get("properties", {})
        for key in ("contact", "trigger", "where"):
            if key in properties and name != "value":
                of = "contact" if key == "contact" else "event"
                properties[key] = {"type": "object", "properties": {field: {} for field in fields[of]}}
