"""A column read whole gives what its values give one by one, and refuses no less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from carillon.people.events import event_hash, event_hashes, json_rows, json_text, json_texts
from carillon.people.fields import amounts, cents, word, words
from carillon.people.files import Chunk
from carillon.people.instants import instant_reader, instants_reader
from carillon.people.mapping import Bound
from carillon.people.reading import Columns

ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"])
INSTANTS = st.one_of(
    st.sampled_from(
        [
            "2026-03-29T02:30:00", "2026-10-25 02:30", "20260301", "2026-03-01", "1767225600", "1767225600123", "202603011", "20260301112",
            " 2026-03-01 ", "1767225600 ", "2026-03-01T10:00:00+02:00", "2026-03-01T10:00:00.123456Z", "1850-01-01T00:00Z", "2400-01-01",
            "2026-W10-1", "soon", "１２３４５６７８９",
        ]
    ),
    st.datetimes().map(str),
)  # fmt: skip
WORDS = st.one_of(st.text(max_size=4), st.sampled_from([" a ", "a\0", "\u2003b", "17850.0"]))
AMOUNTS = st.sampled_from(
    [
        "19.90",
        "5",
        " 7.10",
        "-3.00",
        "1e2",
        "0.005",
        "x",
        "9" * 16,
        "9" * 15 + ".99",
        "1.00\n2.00",
        "7.00\n",
        "٣",
        "1.2",
        "nan",
    ]
)


def both(texts: list[str], one: Callable[[str], Any], whole: Callable[[list[str]], list[Any]]) -> None:
    """The same values, or a refusal of the whole where one of them is refused."""
    try:
        wanted: list[Any] | None = [one(text) for text in texts]
    except ValueError:
        wanted = None
    try:
        found: list[Any] | None = whole(texts)
    except ValueError:
        found = None
    assert found == wanted


@given(st.lists(INSTANTS, min_size=1, max_size=3), ZONES, st.sampled_from([None, None, "%Y-%m-%d"]))
@settings(max_examples=50, deadline=None)
def test_instants_of_a_column_are_those_of_its_values(texts: list[str], zone: str, pattern: str | None) -> None:
    """ISO with and without an offset, epoch numbers, days on which the clock is changed, and what is none of them."""
    both(texts, instant_reader(zone, pattern), instants_reader(zone, pattern))


@given(st.lists(WORDS, max_size=3), st.lists(AMOUNTS, max_size=3))
@settings(max_examples=50, deadline=None)
def test_words_and_amounts_of_a_column_are_those_of_its_values(texts: list[str], totals: list[str]) -> None:
    """Spaces, a NUL, refunds, fractions of a cent."""
    both(texts, word, words)
    both(totals, cents, amounts)


@given(st.lists(st.tuples(st.text(max_size=3), st.one_of(st.none(), st.text(max_size=3)), st.text(max_size=5))))
@settings(max_examples=50, deadline=None)
def test_keys_of_a_column_of_events_are_those_of_each(rows: list[tuple[str, str | None, str]]) -> None:
    """A repeated line is known by its key, whichever way it was read."""
    who, own, props = [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]
    assert event_hashes("order", who, own, props) == [event_hash("order", *row) for row in rows]


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b"]), st.one_of(st.text(max_size=3), st.just(2**70)))))
@settings(max_examples=50, deadline=None)
def test_documents_of_a_column_are_written_as_each_is(documents: list[dict[str, Any]]) -> None:
    """Text with a NUL and numbers beyond 64 bits are refused both ways."""
    try:
        wanted: list[str] | None = [json_text(document) for document in documents]
    except ValueError:
        wanted = None
    try:
        found: list[str] | None = json_texts(documents)
    except ValueError:
        found = None
    assert found == wanted


@given(
    st.integers(1, 3).flatmap(
        lambda n: st.dictionaries(
            st.sampled_from(["a", "100%", "%s", '"', "é"]),
            st.one_of(
                *(
                    st.lists(kind, min_size=n, max_size=n)
                    for kind in (st.text(max_size=3), st.integers(-(2**64), 2**64), st.booleans())
                )
            ),
            min_size=1,
        )
    )
)
@settings(max_examples=50, deadline=None)
def test_rows_of_plain_columns_are_written_as_each_is(told: dict[str, list[Any]]) -> None:
    """Texts that JSON escapes, numbers beyond 64 bits and everything else are left to those who write each."""
    found = json_rows(told)
    rows = [dict(zip(told, row, strict=True)) for row in zip(*told.values(), strict=True)]
    assert found is None or found == [json_text(row) for row in rows]
    assert json_rows({"a": ["b", "c"], "100%": [1, -2]}) == ['{"a":"b","100%":1}', '{"a":"c","100%":-2}']


def test_one_bad_value_refuses_its_row_and_no_other() -> None:
    """The column is read again, value by value, and says which row it was."""
    chunk = Chunk(2, 3, {"at": ["2026-03-01T10:00Z", "soon", "2026-03-02T10:00Z"]}, {}, 1.0)
    columns = Columns(chunk, Bound({"at": ("at",)}))
    found = columns.read("at", instant_reader("UTC"), whole=instants_reader("UTC"))
    assert found == [1_772_359_200_000_000, None, 1_772_445_600_000_000]
    assert list(columns.refused) == [1]
    assert columns.refused[1].startswith("at: 'soon' is no date or time")
