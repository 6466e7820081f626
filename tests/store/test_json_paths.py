"""Paths into attrs and props read the same on both stores."""

from __future__ import annotations

import orjson
import sqlalchemy as sa

from carillon.store import tables as t
from carillon.store.bulk import insert_rows
from carillon.store.engine import Store
from carillon.store.json import any_text, any_thing, flag_at, has_at, integer_at, is_plain, number_at, text_at, word_at

DOCUMENT = {
    "tier": "gold", "age": 41, "ratio": 0.5, "vip": True, "blocked": False, "nothing": None, "spent": 123456,
    "odd name's": "x", "tags": ["a", "b"], "one": {"deep": "d"},
    "products": [{"category": "shoes", "price": 100}, {"category": "hats", "price": 900}],
}  # fmt: skip


def _answer(store: Store, expression: sa.ColumnElement[object]) -> object:
    with store.write("events") as connection:
        insert_rows(
            connection, t.event, ("occurred_at", "hash64", "kind", "intake_id", "props"),
            [(1, 1, "k", 1, orjson.dumps(DOCUMENT).decode())],
        )  # fmt: skip
        return connection.execute(sa.select(expression).select_from(t.event)).scalar_one()


def test_scalars(store: Store) -> None:
    """Each type reads as itself, and everything else as NULL."""
    p = t.event.c.props
    expressions = [
        text_at(p, ("tier",)), text_at(p, ("age",)), text_at(p, ("one", "deep")), text_at(p, ("odd name's",)),
        number_at(p, ("age",)), number_at(p, ("ratio",)), number_at(p, ("tier",)), integer_at(p, ("spent",)),
        flag_at(p, ("vip",)), flag_at(p, ("blocked",)), flag_at(p, ("age",)), flag_at(p, ("missing",)),
        has_at(p, ("nothing",)), has_at(p, ("tags",)), has_at(p, ("missing", "deeper")),
    ]  # fmt: skip
    with store.write("events") as connection:
        insert_rows(
            connection, t.event, ("occurred_at", "hash64", "kind", "intake_id", "props"),
            [(1, 1, "k", 1, orjson.dumps(DOCUMENT).decode())],
        )  # fmt: skip
        row = connection.execute(sa.select(*expressions).select_from(t.event)).one()
    assert tuple(row) == ("gold", None, "d", "x", 41, 0.5, None, 123456, 1, 0, None, None, False, True, False)


def test_words_compared_are_the_texts_that_stand_there(store: Store) -> None:
    """A number, a flag, a list or an object is no text, however it is spelt; what is spelt like a list is none either."""
    values = ["k7", "7", "", "true", '["k7"]', 7, 1.5, True, None, ["k7"], {"k": 7}]
    said = ["k7", "7", "1.5", "", "true", "1", "null", "7.0"]
    with store.write("events") as connection:
        insert_rows(
            connection, t.event, ("occurred_at", "hash64", "kind", "intake_id", "props"),
            [(k, 1, "k", 1, orjson.dumps({"w": value}).decode()) for k, value in enumerate(values)],
        )  # fmt: skip
        found = {
            text: connection.scalars(sa.select(t.event.c.occurred_at).where(word_at(t.event.c.props, ("w",)) == text))
            for text in said
        }
        assert {text: [values[k] for k in found[text]] for text in said} == {
            text: [value for value in values if type(value) is str and value == text] for text in said
        }
    assert [is_plain(text) for text in ("k7", "", '["k7"]', '{"k":7}')] == [True, True, False, False]


def test_one_line_of_a_list_of_things_fulfils_all(store: Store) -> None:
    """A cheap hat is not found among dear hats and cheap shoes."""
    p = t.event.c.props
    hat = any_thing(
        p, ("products",), lambda d: sa.and_(text_at(d, ("category",)) == "hats", number_at(d, ("price",)) < 500)
    )
    shoe = any_thing(
        p, ("products",), lambda d: sa.and_(text_at(d, ("category",)) == "shoes", number_at(d, ("price",)) < 500)
    )
    no_list = any_thing(p, ("tier",), lambda d: text_at(d, ("category",)).is_(None))
    tag = any_text(p, ("tags",), lambda text: text == "b")
    assert _answer(store, sa.case((sa.and_(shoe, tag, ~hat, ~no_list), "right"), else_="wrong")) == "right"
