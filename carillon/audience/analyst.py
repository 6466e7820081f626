"""`sql: "…"`: an analyst's boolean expression over the columns of `core.contact`, kept to what can only read them.

The text must be one expression: columns of contact, literals, operators and the functions below. Queries, comments,
semicolons, parameters and all other functions are refused, so it can neither reach another table nor do anything.
It runs as written on the workspace's store; `attrs ->> 'field'` reads an attribute as text on both.
"""

from __future__ import annotations

import re

import sqlalchemy as sa

from carillon.audience.moment import ConditionError, Predicate, Subject
from carillon.store import tables

FUNCTIONS = frozenset(
    ["abs", "cast", "ceil", "coalesce", "concat", "floor", "instr", "json_array_length", "json_extract", "json_type", "jsonb_array_length", "jsonb_typeof", "length", "lower", "ltrim", "max", "min", "mod", "nullif", "position", "replace", "round", "rtrim", "sign", "strpos", "substr", "substring", "trim", "upper"]
)  # fmt: skip
WORDS = frozenset(
    ["and", "as", "asc", "between", "bigint", "boolean", "case", "collate", "decimal", "distinct", "double", "else", "end", "escape", "exists", "false", "float", "from", "glob", "ilike", "in", "int", "integer", "is", "isnull", "jsonb", "like", "not", "notnull", "null", "numeric", "or", "precision", "real", "similar", "text", "then", "to", "true", "varchar", "when"]
)  # fmt: skip
COLUMNS = frozenset(tables.contact.c.keys())

_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<text>'(?:[^']|'')*')|(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)"""
    r"""|(?P<word>[A-Za-z_]\w*)|(?P<column>"[a-z_]+")|(?P<sign>->>|->|::|\|\||<=|>=|<>|!=|==|[-+*/%=<>(),.&|~#@{}\[\]])""",
    re.ASCII,
)


def analyst_holds(text: str, subject: Subject) -> Predicate:
    """Does the expression hold of the contact? NULL is no; raises ConditionError for what may not stand there."""
    checked(text)
    contact = tables.contact
    expression: sa.ColumnElement[bool] = sa.literal_column(f"({text})", sa.Boolean())
    query = sa.select(contact.c.id).where(expression).correlate(None)
    return subject.contact_id.in_(query)


def checked(text: str) -> str:
    """The text, if it is one harmless expression; raises ConditionError saying what is not."""
    depth, place, before = 0, 0, ""
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise ConditionError(f"sql: {text[place]!r} may not stand in an expression: {text!r}")
        if token.lastgroup != "space":
            depth = _depth(depth, token.group(), text)
            _check_word(before, token, text)
            before = token.group()
        place = token.end()
    if depth or not before:
        raise ConditionError(f"sql: a parenthesis is not closed, or nothing is asked: {text!r}")
    return text


def _depth(depth: int, sign: str, text: str) -> int:
    depth += {"(": 1, ")": -1}.get(sign, 0)
    if depth < 0:
        raise ConditionError(f"sql: a parenthesis is closed that was never opened: {text!r}")
    return depth


def _check_word(before: str, token: re.Match[str], text: str) -> None:
    if before + token.group() in ("--", "/*"):
        raise ConditionError(f"sql: comments are not allowed: {text!r}")
    if token.lastgroup == "column" and token.group().strip('"') not in COLUMNS:
        raise ConditionError(f"sql: contact has no column {token.group()}")
    if token.lastgroup == "word":
        word = token.group().lower()
        if word not in WORDS | FUNCTIONS | COLUMNS and not (before == "." and word in COLUMNS):
            raise ConditionError(f"sql: {token.group()!r} is no column of contact and no function that is allowed here")
