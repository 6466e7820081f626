"""`sql: "…"`: what an analyst may write, told from the text alone.

Either one expression over the columns of `core.contact` (`attrs ->> 'tier' = 'gold'`), or a query that yields ids of
contacts (`SELECT contact_id FROM events.purchase GROUP BY contact_id HAVING sum(value_cents) > 50000`) over the tables of
core, events and ledger, by their full names. `:now` in a query is the instant that is asked about, in microseconds.
Whatever could do more than read, read outside of the store, or draw on chance or a clock of its own is refused.
"""

from __future__ import annotations

import re

COLUMNS = frozenset(
    ["id", "shop_id", "email_key", "phone_key", "invalid_bits", "country", "language", "zone", "zone_source", "h31", "created_at", "attrs", "merged_into", "erased_at"]
)  # fmt: skip
FUNCTIONS = frozenset(
    ["abs", "cast", "ceil", "coalesce", "concat", "floor", "instr", "json_array_length", "json_extract", "json_type", "jsonb_array_length", "jsonb_typeof", "length", "lower", "ltrim", "max", "min", "mod", "nullif", "position", "replace", "round", "rtrim", "sign", "strpos", "substr", "substring", "trim", "upper"]
)  # fmt: skip
WORDS = frozenset(
    ["and", "as", "asc", "between", "bigint", "boolean", "case", "collate", "decimal", "distinct", "double", "else", "end", "escape", "exists", "false", "float", "from", "glob", "ilike", "in", "int", "integer", "is", "isnull", "jsonb", "like", "not", "notnull", "null", "numeric", "or", "precision", "real", "similar", "text", "then", "to", "true", "varchar", "when"]
)  # fmt: skip

_OF_QUERIES = FUNCTIONS | frozenset(
    ["avg", "count", "date", "date_part", "date_trunc", "datetime", "dense_rank", "extract", "first_value", "json_each", "jsonb_array_elements", "jsonb_array_elements_text", "julianday", "lag", "last_value", "lead", "ntile", "percent_rank", "rank", "row_number", "strftime", "sum", "to_char", "to_timestamp", "unixepoch"]
)  # fmt: skip
_BEFORE_PARENTHESIS = frozenset(
    ["all", "and", "any", "as", "between", "by", "case", "distinct", "else", "except", "exists", "filter", "from", "having", "in", "intersect", "is", "join", "like", "limit", "materialized", "not", "offset", "on", "or", "over", "select", "some", "then", "union", "using", "values", "when", "where"]
)  # fmt: skip
_NEVER = frozenset(
    ["alter", "analyze", "attach", "begin", "call", "cluster", "commit", "copy", "create", "current_date", "current_time", "current_timestamp", "current_user", "deallocate", "declare", "delete", "detach", "do", "drop", "execute", "explain", "for", "grant", "insert", "into", "listen", "load", "localtime", "localtimestamp", "lock", "merge", "notify", "pragma", "prepare", "recursive", "refresh", "reindex", "release", "reset", "returning", "revoke", "rollback", "savepoint", "session_user", "set", "tablesample", "truncate", "unlisten", "update", "user", "vacuum"]
)  # fmt: skip
_OUTSIDE = ("pg_", "sqlite_", "information_schema", "temp", "main")

_TOKEN = re.compile(
    r"""(?P<space>\s+)|(?P<text>'(?:[^']|'')*')|(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)"""
    r"""|(?P<word>[A-Za-z_]\w*)|(?P<column>"[a-z_]+")|(?P<now>(?<!:):now\b)"""
    r"""|(?P<sign>->>|->|::|\|\||<=|>=|<>|!=|==|[-+*/%=<>(),.&|~#@{}\[\]])""",
    re.ASCII,
)


class RefusedSqlError(ValueError):
    """What may not stand in an analyst's SQL, as a sentence."""


def is_query(text: str) -> bool:
    """Whether it yields ids of contacts, instead of asking something of one."""
    return re.match(r"(?i)\s*(select|with)\b", text) is not None


def checked(text: str) -> str:
    """The text, if it can only read; raises RefusedSqlError saying what in it could do more."""
    query, depth, before = is_query(text), 0, ""
    for token in _tokens(text):
        depth = _depth(depth, token.group(), text)
        if before + token.group() in ("--", "/*"):
            raise RefusedSqlError(f"sql: comments are not allowed: {text!r}")
        (_check_in_query if query else _check_in_expression)(before, token, text)
        before = token.group()
    if depth or not before:
        raise RefusedSqlError(f"sql: a parenthesis is not closed, or nothing is asked: {text!r}")
    return text


def as_of(text: str, now: int) -> str:
    """The text with the instant in the place of `:now`."""
    return "".join(str(now) if t.lastgroup == "now" else t.group() for t in _TOKEN.finditer(text))


def _tokens(text: str) -> list[re.Match[str]]:
    found, place = [], 0
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            raise RefusedSqlError(f"sql: {text[place]!r} may not stand in it: {text!r}")
        if token.lastgroup != "space":
            found.append(token)
        place = token.end()
    return found


def _depth(depth: int, sign: str, text: str) -> int:
    depth += {"(": 1, ")": -1}.get(sign, 0)
    if depth < 0:
        raise RefusedSqlError(f"sql: a parenthesis is closed that was never opened: {text!r}")
    return depth


def _check_in_expression(before: str, token: re.Match[str], text: str) -> None:
    if token.lastgroup == "now":
        raise RefusedSqlError("sql: :now stands in queries only (SELECT …); fields can be asked with `contact:`")
    if token.lastgroup == "column" and token.group().strip('"') not in COLUMNS:
        raise RefusedSqlError(f"sql: contact has no column {token.group()}")
    if token.lastgroup == "word":
        word = token.group().lower()
        if word not in WORDS | FUNCTIONS | COLUMNS and not (before == "." and word in COLUMNS):
            raise RefusedSqlError(
                f"sql: {token.group()!r} is no column of contact and no function that is allowed here"
            )


def _check_in_query(before: str, token: re.Match[str], text: str) -> None:
    if token.group() == "(" and re.fullmatch(r'[A-Za-z_"]\w*"?', before):
        word = before.lower()
        if word not in _OF_QUERIES | _BEFORE_PARENTHESIS:
            raise RefusedSqlError(f"sql: {before}(…) is no function that is allowed here")
    if token.lastgroup == "word" and (word := token.group().lower()) in _NEVER:
        raise RefusedSqlError(
            f"sql: {token.group()!r} may not stand in it: it reads, and by no clock of its own (:now is the instant)"
        )
    if token.lastgroup in ("word", "column") and token.group().strip('"').lower().startswith(_OUTSIDE):
        raise RefusedSqlError(f"sql: {token.group()} lies outside of core, events and ledger")
