"""Reading YAML words with pydantic: unknown keys with the nearest one, words not available yet, every problem at its place.

A model that meets something wrong is read again without it, so that one slip hides no other problem of the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails, core_schema

from carillon.definition.availability import is_available
from carillon.definition.nodes import Map, Node, Seq, Text, remove
from carillon.definition.scalars import Reading, code, wrong
from carillon.kernel.problems import Position, Problem, did_you_mean

HEADS: dict[str, tuple[str, ...]] = {}
"""Union → the words that its members may begin with."""


class Words(BaseModel):
    """A mapping of the language. `part` is where its keys stand, as availability names them."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, defer_build=True)
    part: ClassVar[str] = ""
    heads: ClassVar[tuple[str, ...]] = ()
    """The words that tell this mapping from the others of its union."""
    _map: Map = PrivateAttr()

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, value: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        if not isinstance(value, Map):
            raise wrong(_stands(value), "a mapping" + _such_as(cls.keys()))
        _look_at_keys(cls, value, _reading(info))
        found = handler(value)
        found._map = value
        return found

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """The keys this mapping may have, as written in YAML."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())

    @property
    def place(self) -> Position:
        """Where the mapping begins."""
        return self._map.at

    def key_at(self, key: str) -> Position:
        """Where a key stands."""
        return self._map.key_at(key)

    def has(self, key: str) -> bool:
        """Whether the key is written, and could be read."""
        return key in self._map

    def lacks(self, key: str) -> bool:
        """Whether the key is not written at all; one that could not be read is a problem already."""
        return key not in self._map and key not in self._map.taken

    @property
    def is_whole(self) -> bool:
        """Whether everything in the mapping, and in the lists right below it, could be read."""
        below = [value.taken for value in self._map.values() if isinstance(value, Seq)]
        return not self._map.taken and not any(below)


def _reading(info: ValidationInfo) -> Reading:
    reading = info.context
    assert isinstance(reading, Reading)  # `read` is the only way in
    return reading


def _look_at_keys(model: type[Words], value: Map, reading: Reading) -> None:
    known = model.keys()
    for key in list(value):
        if key not in known:
            _unknown_key(model, key, value, reading)
            del value[key]
        elif not is_available(f"{model.part}.{key}"):
            note_later(reading, key.at, key)


def note_later(reading: Reading, at: Position, word: str) -> None:
    """Say that a word is known, and that nothing stands behind it yet."""
    reading.problems.append(
        Problem(at, "LATER", f'"{word}" is not available yet', suggestion="leave it out until it is")
    )


def _unknown_key(model: type[Words], key: Text, value: Map, reading: Reading) -> None:
    if key in HEADS.get(model.part, ()):
        first = next((other for other in value if other in HEADS[model.part] and other != key), key)
        message = f'"{first}" and "{key}" stand in one {model.part}'
        reading.note(key.at, 1, message, f"one {model.part}", f"write a list: - {first}: …  - {key}: …")
    else:
        reading.note(key.at, 1, f'no key "{key}" here', suggestion=did_you_mean(key, model.keys()))


def _stands(value: object) -> str:
    match value:
        case Text() if value.absent:
            return "nothing stands after the colon"
        case Text():
            return f'the text "{value if len(value) < 40 else value[:39] + "…"}" stands here'
        case Seq():
            return "a list stands here"
        case _:
            return "a mapping stands here"


def _such_as(keys: Sequence[str]) -> str:
    return f" with {', '.join(keys[:6])}{' …' if len(keys) > 6 else ''}" if keys else ""


# ---------------------------------------------------------------- shapes


@dataclass(frozen=True, slots=True)
class OneOrMany:
    """For a list that may also be written as its only member."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(_as_list, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        many = handler(schema)
        return {"anyOf": [many["items"], many]} if "items" in many else many


def _as_list(value: object) -> object:
    if isinstance(value, Seq) or not isinstance(value, Text | Map) or (isinstance(value, Text) and value.absent):
        return value
    many = Seq([value])
    many.at, many.parent, many.key, many.taken = value.at, value.parent, value.key, []
    return many


@dataclass(frozen=True, slots=True)
class ListMeans:
    """For a mapping that may also be written as a list, which stands for `{word: list}`."""

    word: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self._as_map, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        one = handler(schema)
        return {"anyOf": [one, {"type": "array", "items": one}]}

    def _as_map(self, value: object) -> object:
        if not isinstance(value, Seq):
            return value
        word, found = Text(self.word), Map()
        word.at, word.plain, word.absent, word.parent, word.key = value.at, True, False, found, None
        found.at, found.parent, found.key, found.taken = value.at, value.parent, value.key, value.taken
        found[word] = value
        return found


@dataclass(frozen=True, slots=True)
class Headed:
    """For a union of mappings, told apart by the word each begins with (its `heads`)."""

    part: str
    weak: str = ""
    """A head that is a modifier beside another one: `at` beside `every`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        members: list[type[Words]] = [member for member in get_args(source) if issubclass(member, Words)]
        tags = {head: member.__name__ for member in members for head in member.heads}
        HEADS[self.part] = tuple(tags)

        def tag(value: object) -> str | None:
            if not isinstance(value, Map):
                return None
            written = [key for key in value if key in tags]
            strong = [key for key in written if key != self.weak] or written
            return tags[strong[0]] if strong else None

        return core_schema.tagged_union_schema(
            {member.__name__: handler.generate_schema(member) for member in members},
            tag,
            custom_error_type=self.part,
            custom_error_message="no head",
        )


# ---------------------------------------------------------------- reading a file

M = TypeVar("M", bound=Words)
_MOST_ROUNDS = 60


def read(model: type[M], root: Node, reading: Reading) -> tuple[M | None, bool]:
    """The file's words, as far as they can be read, and whether that is all of them; problems go to `reading`."""
    whole = True
    for _ in range(_MOST_ROUNDS):
        try:
            return model.model_validate(root, context=reading), whole
        except ValidationError as failure:
            wrongs = failure.errors(include_url=False)
            if whole:
                reading.problems.extend(_problem(error, reading) for error in wrongs)
            # what follows from leaving something out is no problem of its own
            whole, reading = False, replace(reading, problems=[])
            if not _take_out(wrongs):
                return None, False
    return None, False


def _take_out(wrongs: list[ErrorDetails]) -> bool:
    taken = [remove(error["input"]) for error in wrongs if isinstance(error["input"], Text | Map | Seq)]
    return any(taken)


def _problem(error: ErrorDetails, reading: Reading) -> Problem:
    node = error["input"]
    at = node.at if isinstance(node, Text | Map | Seq) else Position("")
    if isinstance(node, Text) and node.absent and node.key is not None:
        at = node.key.at
    number, message, expected, suggestion = 3, error["msg"], "", ""
    match error["type"]:
        case "carillon":
            context = error.get("ctx", {})
            message, expected, suggestion = context["message"], context["expected"], context["suggestion"]
            number = 4 if message.startswith("no value") else 3
        case "missing":
            number, message = 2, f'the key "{error["loc"][-1]}" is missing'
            at = node.key.at if isinstance(node, Map) and node.key is not None else at
        case "list_type":
            message, expected = _stands(node), "a list"
        case "dict_type":
            message, expected = _stands(node), "a mapping"
        case part if part in HEADS:
            number, message, expected, suggestion = _no_head(part, node)
            at = next(iter(node)).at if isinstance(node, Map) and node else at
    return Problem(at, code(reading.prefix, number), message, expected, suggestion)


def _no_head(part: str, node: object) -> tuple[int, str, str, str]:
    article = "an" if part[0] in "aeio" else "a"
    if not isinstance(node, Map):
        return 3, _stands(node), f"{article} {part}: a mapping that begins with {', '.join(HEADS[part][:6])} …", ""
    if not node:
        return 3, f"an empty {part}", f"{article} {part}", ""
    first = next(iter(node))
    return 1, f'no {part} begins with "{first}"', "", did_you_mean(first, HEADS[part])
