"""Reading `contact.attrs` and `event.props` in SQL, with the same words on both stores.

How a declared type stands in the JSON: `word email phone country language one_of` text · `number` a number · `money`
integer cents · `flag` true or false · `date` text `YYYY-MM-DD` · `instant` microseconds UTC · `list` an array of texts,
a list of things an array of objects. What is missing, null or of another type reads as NULL.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.visitors import InternalTraversal

Document = sa.ColumnElement[Any]
Path = tuple[str, ...]

_names = count()


class _At(FunctionElement[Any]):
    """A value of one kind at a path of a document; `path` is spelt into the SQL, because indexes and planners see it."""

    inherit_cache = True
    _traverse_internals = [  # noqa: RUF012 (SQLAlchemy's own way to say what distinguishes two statements)
        *FunctionElement._traverse_internals,
        ("path", InternalTraversal.dp_plain_obj),
    ]

    def __init__(self, document: Document, path: Path, type_: Any) -> None:
        super().__init__(document)
        self.path = path
        self.type = type_

    def _sql(self, compiler: Any, **kw: Any) -> tuple[str, str]:
        text = _sqlite_path(self.path) if compiler.dialect.name == "sqlite" else _postgresql_path(self.path)
        return compiler.process(self.clauses, **kw), compiler.render_literal_value(text, sa.String())


class _TextAt(_At):
    name = "text_at"
    inherit_cache = True


class _WordAt(_At):
    name = "word_at"
    inherit_cache = True


class _NumberAt(_At):
    name = "number_at"
    inherit_cache = True


class _FlagAt(_At):
    name = "flag_at"
    inherit_cache = True


class _HasAt(_At):
    name = "has_at"
    inherit_cache = True


class _JsonAt(_At):
    name = "json_at"
    inherit_cache = True


class _Things(_At):
    name = "things"
    inherit_cache = True


def text_at(document: Document, path: Path) -> sa.ColumnElement[Any]:
    """The text at the path."""
    return _TextAt(document, path, sa.String())


def word_at(document: Document, path: Path) -> sa.ColumnElement[Any]:
    """The text at the path, to be compared for equality with texts that are plain (`is_plain`): on SQLite half the time."""
    return _WordAt(document, path, sa.String())


def is_plain(text: str) -> bool:
    """Is it no JSON array or object? SQLite extracts those as texts, numbers and flags as numbers, which equal no text."""
    return not text.startswith(("[", "{"))


def number_at(document: Document, path: Path) -> sa.ColumnElement[Any]:
    """The number at the path, as a double: compare with it, but add money up with `integer_at`."""
    return _NumberAt(document, path, sa.Float())


def integer_at(document: Document, path: Path) -> sa.ColumnElement[Any]:
    """The whole number at the path (cents, microseconds)."""
    return sa.cast(_NumberAt(document, path, sa.Float()), sa.BigInteger())


def flag_at(document: Document, path: Path) -> sa.ColumnElement[Any]:
    """1 or 0 for true and false at the path."""
    return _FlagAt(document, path, sa.Integer())


def has_at(document: Document, path: Path) -> sa.ColumnElement[bool]:
    """Does something other than null stand at the path? Never NULL itself."""
    return _HasAt(document, path, sa.Boolean())


def json_at(document: Document, path: Path) -> sa.ColumnElement[str]:
    """What stands at the path, as it is spelt in JSON; null where nothing does. Never NULL itself."""
    return _JsonAt(document, path, sa.String())


class _JsonOf(FunctionElement[str]):
    inherit_cache = True
    name = "json_of"
    type = sa.String()


def json_of(value: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """A text or a number as it is spelt in JSON, null for NULL."""
    return _JsonOf(value)


class _Merged(FunctionElement[Any]):
    inherit_cache = True
    name = "merged"
    type = sa.JSON()


def merged(document: Document, fields: str) -> Document:
    """The document with the fields of another (spelt as JSON, none of them null) laid over it."""
    return _Merged(document, sa.literal(fields, sa.String()))


def any_thing(
    document: Document, path: Path, holds: Callable[[Document], sa.ColumnElement[bool]]
) -> sa.ColumnElement[bool]:
    """Does one thing of the list at the path fulfil `holds`, which reads it as a document? Others than things never do."""
    line = _lines(document, path)
    thing = _Thing(line.c.value, line.c.type)
    return sa.exists(sa.select(sa.literal(1)).select_from(line).where(thing.is_not(None), holds(thing)))


def any_text(
    document: Document, path: Path, holds: Callable[[sa.ColumnElement[Any]], sa.ColumnElement[bool]]
) -> sa.ColumnElement[bool]:
    """Does one text of the list at the path fulfil `holds`?"""
    line = _lines(document, path)
    return sa.exists(
        sa.select(sa.literal(1)).select_from(line).where(holds(_TextAt(line.c.value, (), sa.String())))
    )  # fmt: skip


def _lines(document: Document, path: Path) -> Any:
    return _Things(document, path, sa.String()).table_valued("value", "type", name=f"thing_{next(_names) % 64}")


class _Thing(FunctionElement[Any]):
    """A line of a list that is an object, else NULL: SQLite stops the whole statement at a text that is no JSON."""

    inherit_cache = True
    name = "thing"


@compiles(_Thing, "sqlite")
def _thing_on_sqlite(element: _Thing, compiler: Any, **kw: Any) -> str:
    value, kind = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"CASE {kind} WHEN 'object' THEN {value} END"


@compiles(_Thing, "postgresql")
def _thing_on_postgresql(element: _Thing, compiler: Any, **kw: Any) -> str:
    value = compiler.process(next(iter(element.clauses)), **kw)
    return f"CASE jsonb_typeof({value}) WHEN 'object' THEN {value} END"


def _sqlite_path(path: Path) -> str:
    return "$" + "".join(f'."{name}"' for name in path)


def _postgresql_path(path: Path) -> str:
    return "{" + ",".join(orjson.dumps(name).decode() for name in path) + "}"


@compiles(_TextAt, "sqlite")
def _text_on_sqlite(element: _At, compiler: Any, **kw: Any) -> str:
    document, path = element._sql(compiler, **kw)
    if not element.path:  # a line of json_each: its texts are no JSON any more
        return f"CASE WHEN typeof({document}) = 'text' THEN {document} END"
    return f"CASE json_type({document}, {path}) WHEN 'text' THEN json_extract({document}, {path}) END"


@compiles(_WordAt, "sqlite")
def _word_on_sqlite(element: _At, compiler: Any, **kw: Any) -> str:
    document, path = element._sql(compiler, **kw)
    return f"json_extract({document}, {path})"


@compiles(_WordAt, "postgresql")
@compiles(_TextAt, "postgresql")
def _text_on_postgresql(element: _At, compiler: Any, **kw: Any) -> str:
    document, path = element._sql(compiler, **kw)
    return f"CASE jsonb_typeof({document} #> {path}) WHEN 'string' THEN {document} #>> {path} END"


@compiles(_NumberAt, "sqlite")
def _number_on_sqlite(element: _At, compiler: Any, **kw: Any) -> str:
    document, path = element._sql(compiler, **kw)
    return f"CASE WHEN json_type({document}, {path}) IN ('integer', 'real') THEN json_extract({document}, {path}) END"


@compiles(_NumberAt, "postgresql")
def _number_on_postgresql(element: _At, compiler: Any, **kw: Any) -> str:
    document, path = element._sql(compiler, **kw)
    return f"CASE jsonb_typeof({document} #> {path}) WHEN 'number' THEN ({document} #>> {path})::double precision END"


@compiles(_FlagAt, "sqlite")
def _flag_on_sqlite(element: _At, compiler: Any, **kw: Any) -> str:
    document, path = element._sql(compiler, **kw)
    return f"CASE json_type({document}, {path}) WHEN 'true' THEN 1 WHEN 'false' THEN 0 END"


@compiles(_FlagAt, "postgresql")
def _flag_on_postgresql(element: _At, compiler: Any, **kw: Any) -> str:
    document, path = element._sql(compiler, **kw)
    return f"CASE WHEN jsonb_typeof({document} #> {path}) = 'boolean' THEN ({document} #>> {path})::boolean::int END"


@compiles(_HasAt, "sqlite")
def _has_on_sqlite(element: _At, compiler: Any, **kw: Any) -> str:
    document, path = element._sql(compiler, **kw)
    return f"(coalesce(json_type({document}, {path}), 'null') <> 'null')"


@compiles(_HasAt, "postgresql")
def _has_on_postgresql(element: _At, compiler: Any, **kw: Any) -> str:
    document, path = element._sql(compiler, **kw)
    return f"(coalesce(jsonb_typeof({document} #> {path}), 'null') <> 'null')"


@compiles(_JsonAt, "sqlite")
def _json_on_sqlite(element: _At, compiler: Any, **kw: Any) -> str:
    document, path = element._sql(compiler, **kw)
    return f"coalesce({document} -> {path}, 'null')"


@compiles(_JsonAt, "postgresql")
def _json_on_postgresql(element: _At, compiler: Any, **kw: Any) -> str:
    document, path = element._sql(compiler, **kw)
    return f"coalesce(CAST({document} #> {path} AS text), 'null')"


@compiles(_JsonOf, "sqlite")
def _json_of_on_sqlite(element: _JsonOf, compiler: Any, **kw: Any) -> str:
    return f"json_quote({compiler.process(element.clauses, **kw)})"


@compiles(_JsonOf, "postgresql")
def _json_of_on_postgresql(element: _JsonOf, compiler: Any, **kw: Any) -> str:
    return f"coalesce(CAST(to_json({compiler.process(element.clauses, **kw)}) AS text), 'null')"


@compiles(_Things, "sqlite")
def _things_on_sqlite(element: _At, compiler: Any, **kw: Any) -> str:
    document, path = element._sql(compiler, **kw)
    return f"json_each(CASE json_type({document}, {path}) WHEN 'array' THEN json_extract({document}, {path}) END)"


@compiles(_Things, "postgresql")
def _things_on_postgresql(element: _At, compiler: Any, **kw: Any) -> str:
    document, path = element._sql(compiler, **kw)
    return f"jsonb_array_elements(CASE jsonb_typeof({document} #> {path}) WHEN 'array' THEN {document} #> {path} END)"


@compiles(_Merged, "sqlite")
def _merged_on_sqlite(element: _Merged, compiler: Any, **kw: Any) -> str:
    return f"json_patch({compiler.process(element.clauses, **kw)})"


@compiles(_Merged, "postgresql")
def _merged_on_postgresql(element: _Merged, compiler: Any, **kw: Any) -> str:
    document, fields = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({document} || CAST({fields} AS jsonb))"


class _AsDocument(FunctionElement[Any]):
    """Text that is JSON, as a column of documents takes it."""

    inherit_cache = True
    name = "as_document"


def as_document(text: sa.ColumnElement[str]) -> sa.ColumnElement[Any]:
    """JSON text made in SQL, to be inserted as a document."""
    return _AsDocument(text)


@compiles(_AsDocument, "sqlite")
def _document_on_sqlite(element: _AsDocument, compiler: Any, **kw: Any) -> str:
    return str(compiler.process(element.clauses, **kw))


@compiles(_AsDocument, "postgresql")
def _document_on_postgresql(element: _AsDocument, compiler: Any, **kw: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **kw)} AS jsonb)"
