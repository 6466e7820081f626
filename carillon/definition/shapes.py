"""Short forms: where the language lets a text or list stand for a mapping, the mapping is made before a model reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from carillon.definition.nodes import Map, Node, Seq, Text


@dataclass(frozen=True, slots=True)
class Shape:
    """Metadata for `Annotated`: `unfold` turns what is written into the mapping that the model reads."""

    unfold: Callable[[Node], Node]
    schema: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self._unfold, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        handler(schema)
        return {**self.schema}

    def _unfold(self, value: object) -> object:
        return self.unfold(value) if isinstance(value, Text | Map | Seq) and value else value


def _word_at(node: Node, word: str) -> Text:
    text = Text(word)
    text.at, text.parent, text.key, text.plain, text.absent = node.at, None, None, True, False
    return text


def _mapping_like(node: Node, items: Iterable[tuple[Text, Node]]) -> Map:
    """A mapping in the place of `node`; its values keep what holds them, so that they can still be taken out."""
    found = Map(items)
    found.at, found.parent, found.key = node.at, node.parent, node.key
    found.taken = node.taken if isinstance(node, Map) else []
    return found


def under(word: str, node: Node) -> Map:
    """`{word: node}`."""
    return _mapping_like(node, [(_word_at(node, word), node)])


def _audience(node: Node) -> Node:
    if isinstance(node, Text):
        return under("everyone", node)
    if isinstance(node, Seq):
        return under("who", node)
    beside = [(key, value) for key, value in node.items() if key in ("exclude", "top")]
    who = _mapping_like(node, [(key, value) for key, value in node.items() if key not in ("exclude", "top")])
    return _mapping_like(node, [(_word_at(node, "who"), who), *beside] if who else beside)


def _exit(node: Node) -> Node:
    return under("goal" if isinstance(node, Text) else "condition", node)


def _wait(node: Node) -> Node:
    if isinstance(node, Text):
        return under("for", node)
    until = node.get(_word_at(node, "until")) if isinstance(node, Map) else None
    if not isinstance(node, Map) or not isinstance(until, Map) or "date" not in until:
        return node
    return _mapping_like(node, [*until.items(), *((key, value) for key, value in node.items() if key != "until")])


def _holdout(node: Node) -> Node:
    return under("share", node) if isinstance(node, Text) or "value" in node else node


def _existing(node: Node) -> Node:
    return under("all", node) if isinstance(node, Text) else node


EXISTING = Shape(
    _existing, {"anyOf": [{"const": "enter"}, {"type": "object", "properties": {"enter": {"type": "string"}}}]}
)
AUDIENCE = Shape(_audience, {"x-audience": True})
EXIT_ON = Shape(_exit, {"anyOf": [{"const": "goal"}, {"x-condition": True}]})
HOLDOUT = Shape(
    _holdout, {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"none": {"type": "string"}}}]}
)
TARGET = Shape(
    lambda node: under("conversions", node) if isinstance(node, Text) else node,
    {
        "anyOf": [
            {"type": ["integer", "string"]},
            {
                "type": "object",
                "properties": {"conversions": {"type": "integer"}, "revenue": {"type": ["number", "string"]}},
                "additionalProperties": False,
            },
        ]
    },
)
WAIT = Shape(
    _wait,
    {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {
                    "days": {"type": ["integer", "string"]},
                    "until": {"type": ["string", "object"]},
                    "at": {"type": "string"},
                    "if_past": {"enum": ["go_on", "exit", "next"]},
                },
                "additionalProperties": False,
            },
        ]
    },
)
