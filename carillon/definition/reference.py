"""The reference part of docs/language.md, made from the models: each word with its meaning, its values and what holds
where it is left out.

`python -m carillon.definition.reference docs/language.md` writes it anew between the page's two marks; a test compares.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from carillon.definition import campaign_words as campaign
from carillon.definition import condition_words as condition
from carillon.definition import workspace_words as workspace
from carillon.definition.availability import NOT_YET, is_available
from carillon.definition.build_data import BUILT_IN_CONTACT
from carillon.definition.field_tests import OPS_OF
from carillon.definition.meanings import LEFT_OUT, MEANINGS, TITLES
from carillon.definition.scalars import Ref, Scalar
from carillon.definition.words import Headed, OneOrMany, Words

BEGIN, END = "<!-- reference: begin -->", "<!-- reference: end -->"

FILES: Mapping[str, type[Words]] = {
    "workspace.yaml": workspace.WorkspaceWords,
    "data.yaml": workspace.DataWords,
    "segments/NAME.yaml": workspace.SegmentFileWords,
    "campaign.yaml": campaign.CampaignWords,
    "messages/NAME.yaml": workspace.MessageWordsFile,
}

_UNIONS: Mapping[str, str] = {
    "entry": "an [entry](#entries)",
    "step": "a [step](#steps)",
    "condition": "a [condition](#conditions)",
}
_FIELDS = "names of fields, each with [what is asked of it](#fields-and-what-may-be-asked-of-them)"

WRITTEN: Mapping[str, tuple[str, tuple[type[Words], ...]]] = {
    "workspace.languages": ("`{de: [DE, AT, CH], fr: [FR]}`", ()),
    "workspace.senders": ("by channel: {} or `{{NAME: sender, …}}`", (workspace.SenderWords,)),
    "workspace.costs": ("by channel: an amount or `{default: 0.06, US: 0.0079}`", ()),
    "workspace.if_unsure": (
        "for `marketing`, `transactional`: `hold`, `resend` or {}", (workspace.UnsureWords,),
    ),
    "cap.when_full": ("`skip` or {}", (workspace.WaitAtMostWords,)),
    "limits.pace": ("by channel: a rate such as `50/s` or {}", (workspace.WarmingUpWords,)),
    "topic.name": ("a text, or `{en: Offers, de: Angebote}`", ()),
    "data.contact": ("names with a type, a {} or `[{{…}}]` for a list of things", (workspace.FieldWords,)),
    "data.events": ("names of events, each with fields as those of `contact`", ()),
    "entry.existing": ("`enter` or {}", (campaign.ExistingWords,)),
    "entry.date": ("a field such as `birthday`", ()),
    "wait.date": ("a field such as `birthday`", ()),
    "condition.received": ("a step or message of this journey, `any`, or {}", (condition.ResponseOfWords,)),
    "condition.opened": ("as `received`", ()),
    "condition.clicked": ("as `received`", ()),
    "condition.count": ("a number, or a {}", (condition.CompareWords,)),
    "response.count": ("a number, or a {}", (condition.CompareWords,)),
    "condition.all": ("[conditions](#conditions)", ()),
    "condition.any": ("[conditions](#conditions)", ()),
    "condition.not": ("a [condition](#conditions)", ()),
    **dict.fromkeys(
        ("entry.where", "condition.where", "condition.contact", "condition.trigger", "condition.answer", "goal.where",
         "wait_for.where"),
        (_FIELDS, ()),
    ),
    "audience.top": ("{}", (condition.TopWords,)),
    **dict.fromkeys(
        ("step.then", "step.otherwise", "choose.then", "choose.otherwise", "arm.then", "wait_for.then"),
        ("a [step](#steps), or a list", ()),
    ),
    "condition.same": ("a field, or `{of the trigger: of the event}`", ()),
    "goal.same": ("a field, or `{of the trigger: of the event}`", ()),
    "wait_for.same": ("a field, or `{of the trigger: of the event}`", ()),
}  # fmt: skip
"""How a word is written whose model reads any shape, and the mappings that may stand there."""


@dataclass(slots=True)
class _Book:
    """The mappings that the tables name, in the order in which they are first named."""

    chapters: dict[str, list[type[Words]]] = field(default_factory=dict)
    reached: set[str] = field(default_factory=set)
    """Parts to which a word leads that is available."""

    def name(self, model: type[Words], live: bool) -> str:
        """A link to the chapter of the mapping."""
        known = self.chapters.setdefault(model.part, [])
        if model not in known:
            known.append(model)
        if live:
            self.reached.add(model.part)
        return f"[{TITLES[model.part]}](#{_anchor(TITLES[model.part])})"


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")


def reference() -> str:
    """The whole reference, as Markdown."""
    book, pages = _Book(), list[str]()
    for file, model in FILES.items():
        pages += [f"### {file}", "", _table(model, book), ""]
    unions: list[tuple[str, str, type[Words], list[type[Words]]]] = [
        ("Entries", "entry", campaign.EntryBase, list(_members(campaign.EntryWords))),
        ("Steps", "step", campaign.StepBase, list(_members(campaign.StepWords))),
        ("Conditions", "condition", condition.ConditionBase, list(_members(condition.ConditionWords))),
    ]
    for title, part, base, members in unions:
        pages += [f"### {title}", "", _shared(part, base, book)]
        for member in members:
            pages += [_member(member, base, book), ""]
    return "\n".join([*pages, *_chapters(book), *_fields(), *_builtin()]).strip() + "\n"


def _shared(part: str, base: type[Words], book: _Book) -> str:
    keys = list(base.model_fields)
    if not keys:
        return ""
    return f"Every {part} may have:\n\n{_table(base, book)}\n"


def _member(model: type[Words], base: type[Words], book: _Book) -> str:
    heads = ", ".join(f"`{head}`" for head in model.heads)
    live = any(is_available(f"{model.part}.{head}") for head in model.heads)
    own = [name for name in model.model_fields if name not in base.model_fields]
    return f"#### {heads}\n\n{_said(model)}{_later(live)}\n\n{_table(model, book, own, above=live)}"


def _later(live: bool) -> str:
    return "" if live else " *Not available yet.*"


def _chapters(book: _Book) -> Iterator[str]:
    """The mappings named above; a chapter may name further ones."""
    yield "### Mappings named above\n"
    written = 0
    while written < len(book.chapters):
        part = list(book.chapters)[written]
        written += 1
        live = part in book.reached
        yield f"#### {TITLES[part]}\n"
        told = set[str]()
        for model in book.chapters[part]:
            own = [name for name in model.model_fields if name not in told]
            beside = " Beside those above:" if told and len(own) < len(model.model_fields) else ""
            yield f"{_said(model)}{_later(live)}{beside}\n\n{_table(model, book, own, above=live)}\n"
            told |= set(model.model_fields) if part == "compare" else set()


def _fields() -> Iterator[str]:
    """What may be asked of a field, by its type, and the fields that need no declaration."""
    yield "### Fields and what may be asked of them\n"
    yield "A plain value is equality (`is`), a list is one of (`in`), else `{operator: value}`; several operators all hold.\n"
    types = dict[tuple[str, ...], list[str]]()
    for type_, ops in OPS_OF.items():
        types.setdefault(ops, []).append(type_)
    rows = [f"| {_words(of)} | {_words(ops)} |" for ops, of in types.items()]
    yield "\n".join(
        [
            "| type | operators |",
            "|---|---|",
            *rows,
            "| a list of things `[{…}]` | fields of one thing, all of which one line must fit; `exists` |",
            "",
        ]
    )
    built_in = ", ".join(f"`{name}` ({declared.type})" for name, declared in BUILT_IN_CONTACT.items())
    yield f"Built in for every contact: {built_in}.\n"


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _builtin() -> Iterator[str]:
    later = sorted(word.removeprefix("event.") for word in NOT_YET if word.startswith("event."))
    if later:
        yield f"### Events not available yet\n\n{_words(later)}\n"


def _said(model: type[Words]) -> str:
    return " ".join((model.__doc__ or "").split())


# ---------------------------------------------------------------- one table


def _table(model: type[Words], book: _Book, only: list[str] | None = None, *, above: bool = True) -> str:
    rows = ["| word | meaning | written | left out |", "|---|---|---|---|"]
    for name, info in model.model_fields.items():
        if only is None or name in only:
            rows.append(_row(model, name, info, book, above))
    return "\n".join(rows)


def _row(model: type[Words], name: str, info: FieldInfo, book: _Book, above: bool) -> str:
    key = info.alias or name
    place = f"{model.part}.{key}"
    live = above and is_available(place)
    meaning = MEANINGS[place] + ("" if live or not above else " *Not available yet.*")
    cells = (f"`{key}`", meaning, _written(place, info, book, live), _left_out(place, info))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _written(place: str, info: FieldInfo, book: _Book, live: bool) -> str:
    if place in WRITTEN:
        text, models = WRITTEN[place]
        return text.format(*(book.name(model, live) for model in models)) if models else text
    return _kind(info.annotation, info.metadata, book, live)


def _left_out(place: str, info: FieldInfo) -> str:
    if place in LEFT_OUT:
        return LEFT_OUT[place]
    if info.is_required():
        return "must be written"
    return "" if info.default is None else f"`{info.default}`"


def _kind(annotation: Any, metadata: list[Any], book: _Book, live: bool) -> str:
    for one in metadata:
        if isinstance(one, Scalar | Ref):
            return one.expected
        if isinstance(one, Headed):
            return _UNIONS[one.part]
    said = _shape(annotation, book, live)
    return f"{said.removeprefix('a list: ')}, or a list" if any(isinstance(m, OneOrMany) for m in metadata) else said


def _shape(annotation: Any, book: _Book, live: bool) -> str:
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(inner[0], list(inner[1:]), book, live)
    if origin in (Union, UnionType):
        if all(isinstance(one, type) and issubclass(one, Words | NoneType) for one in inner) and len(inner) > 2:
            return " or ".join(dict.fromkeys(book.name(one, live) for one in inner if issubclass(one, Words)))
        return " or ".join(dict.fromkeys(_shape(one, book, live) for one in inner if one is not NoneType))
    if origin is Literal:
        return _words(inner)
    if origin is list:
        return f"a list: {_shape(inner[0], book, live)}"
    if origin is dict:
        return _mapping(inner, book, live)
    if isinstance(annotation, type) and issubclass(annotation, Words):
        return book.name(annotation, live)
    return "" if annotation is Any else "any shape"


def _mapping(inner: tuple[Any, ...], book: _Book, live: bool) -> str:
    key, value = _shape(inner[0], book, live), inner[1]
    if get_origin(key) is None and key.startswith("`"):
        return f"by {key}: {_shape(value, book, live)}"
    return f"names, each with {_shape(value, book, live)}"


def _members(union: Any) -> Iterator[type[Words]]:
    """The mappings of a union told apart by their heads."""
    inner = get_args(union)[0]
    yield from (one for one in get_args(inner) if isinstance(one, type) and issubclass(one, Words))


def main() -> None:
    """Write the reference into the page that is named."""
    page = Path(sys.argv[1])
    page.write_text(with_reference(page.read_text(encoding="utf-8")), encoding="utf-8")


def with_reference(page: str) -> str:
    """The page with the reference between its marks."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{reference()}{END}{after}"


if __name__ == "__main__":
    main()
