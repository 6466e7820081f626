"""Contacts from files: cleaned, matched by the shop's id, changed with a history, never twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from carillon.people.files import UnreadableFileError
from carillon.people.mapping import MappingError, Source, read_mapping, write_mapping
from carillon.store import tables as t

C = t.contact.c
FILE = """\
id,email,phone,first_name,country,timezone,tier,birthday,open_cases,consent_email_offers
ada, Ada@Example.ORG ,0151 12345678,Ada,de,,gold,1990-02-28,2,yes
bob,bob@example,+33612345678,Bob,France,,silver,,,no
,nobody@example.org,,,,,,,,
cem,cem@bücher.example,,Cem,US,America/Chicago,basic,,0,
"""


def test_values_are_cleaned_and_what_cannot_be_read_is_told(shop: Any) -> None:
    """A contact without an id is refused; a wrong value is left out, its contact comes in."""
    result = shop.imports("contacts", FILE)
    assert (result.rows, result.refused, result.left_out) == (4, 1, 2)
    assert result.counts == {"new": 3, "changed": 0, "as they were": 0, "consents": 2}
    assert shop.rows(
        C.shop_id, C.email_key, C.phone_key, C.invalid_bits, C.country, C.zone, C.zone_source, order_by=C.id
    ) == [
        ("ada", "ada@example.org", "+4915112345678", 0, "DE", "Europe/Berlin", "phone"),
        ("bob", None, "+33612345678", 1, "FR", "Europe/Paris", "phone"),
        ("cem", "cem@xn--bcher-kva.example", None, 0, "US", "America/Chicago", "contact"),
    ]
    assert [attrs for (attrs,) in shop.rows(C.attrs, order_by=C.id)] == [
        {"first_name": "Ada", "tier": "gold", "birthday": "1990-02-28", "open_cases": 2},
        {"first_name": "Bob"},
        {"first_name": "Cem", "tier": "basic", "open_cases": 0},
    ]
    refused = Path(result.refused_file).read_text().splitlines()
    assert refused[0].startswith("row,reason,id,email")
    assert [line.split(",")[0] for line in refused[1:]] == ["3", "3", "4"]
    assert "did you mean" not in refused[3]
    assert refused[3].startswith("4,no id: id is empty,,nobody@example.org")


def test_standing_is_folded_with_the_contact(shop: Any) -> None:
    """A yes opens, a missing number closes, country gives the language."""
    shop.imports("contacts", FILE)
    s = t.standing.c
    assert shop.rows(
        s.contact_id,
        s.language,
        s.allow_bits,
        s.deny_bits,
        s.closed_bits.bitwise_and(0b1100110011),
        order_by=s.contact_id,
    ) == [
        (1, "de", 1, 0, 0),
        (2, "fr", 0, 1, 0b10000),
        (3, "de", 0, 0, 0b10),
    ]


def test_a_second_import_of_the_same_file_changes_nothing(shop: Any) -> None:
    """Neither contacts, nor history, nor consents grow."""
    shop.imports("contacts", FILE)
    again = shop.imports("contacts", FILE, now=2_000_000_000_000_000)
    assert again.counts == {"new": 0, "changed": 0, "as they were": 3}
    assert shop.rows(t.contact_change.c.id) == []
    assert len(shop.rows(t.consent.c.id)) == 2


def test_a_change_is_kept_with_old_and_new(shop: Any) -> None:
    """Blank cells erase nothing; what differs is changed and remembered; the zone follows the country."""
    shop.imports("contacts", "id,email,country,tier\nada,ada@example.org,DE,basic\n")
    result = shop.imports("contacts", "id,email,country,tier\nada,,FR,gold\n", now=5)
    h = t.contact_change.c
    assert result.counts["changed"] == 1
    assert shop.rows(h.field, h.old, h.new, h.at, order_by=h.id) == [
        ("country", "DE", "FR", 5), ("timezone", "Europe/Berlin", "Europe/Paris", 5), ("tier", "basic", "gold", 5),
    ]  # fmt: skip
    assert shop.rows(C.email_key, C.country) == [("ada@example.org", "FR")]
    assert shop.rows(t.standing.c.language, t.standing.c.zone) == [("fr", "Europe/Paris")]


def test_a_contact_that_stands_twice_is_told_twice(shop: Any) -> None:
    """The later row rules where it says something."""
    shop.imports("contacts", "id,first_name,tier\nada,Ada,gold\nada,,basic\n")
    assert shop.rows(C.attrs) == [({"first_name": "Ada", "tier": "basic"},)]


def test_wrong_encoding_names_line_and_byte_and_imports_nothing(sqlite_shop: Any) -> None:
    """The guess is shown, so that a person can see whether it is right."""
    rows = "".join(f"c{n},Ann\n" for n in range(30_000))
    with pytest.raises(UnreadableFileError) as caught:
        sqlite_shop.imports("contacts", f"id,first_name\n{rows}x,Jürgen\n".encode("cp1252"))
    assert "line 30002, byte 4: 0xFC is not utf-8" in str(caught.value)
    assert 'reads "x,Jürgen": if that is right, say --encoding cp1252' in str(caught.value)
    assert sqlite_shop.rows(C.id) == []
    result = sqlite_shop.imports("contacts", "id,first_name\nx,Jürgen\n".encode("cp1252"), encoding="cp1252")
    assert (result.refused, sqlite_shop.rows(C.attrs)) == (0, [({"first_name": "Jürgen"},)])


@pytest.mark.parametrize(
    "raw",
    [
        b"\xef\xbb\xbfid;first_name\r\nada;\"A; d\r\na\"\r\n",
        "id\tfirst_name\nada\t\"A; d\r\na\"\n".encode("utf-16"),
        b'{"id": "ada", "first_name": "A; d\\r\\na"}\n',
    ],
)  # fmt: skip
def test_dialects_are_found_by_themselves(sqlite_shop: Any, raw: bytes) -> None:
    """Semicolons, tabulators, byte order marks, quoted line ends, JSON Lines."""
    sqlite_shop.imports("contacts", raw)
    assert sqlite_shop.rows(C.shop_id, C.attrs) == [("ada", {"first_name": "A; d\r\na"})]


def test_undeclared_columns_are_refused_with_the_nearest_word(sqlite_shop: Any) -> None:
    """All of them at once, each with what to do."""
    text = "CustomerID,teir,Notes\n1,gold,x\n"
    with pytest.raises(MappingError) as caught:
        sqlite_shop.imports("contacts", text, columns={"id": "CustomerId"})
    lines = str(caught.value).splitlines()
    assert lines[0] == "--map id=CustomerId: no column 'CustomerId'; did you mean \"CustomerID\"?"
    assert "column 'teir' is declared nowhere in data.yaml: is it tier? then --map tier=teir" in str(caught.value)
    assert "--ignore Notes" in lines[-1]
    sqlite_shop.imports("contacts", text, columns={"id": "CustomerID", "tier": "teir"}, ignore_others=True)
    assert sqlite_shop.rows(C.shop_id, C.attrs) == [("1", {"tier": "gold"})]


def test_a_short_row_is_refused_by_its_number(sqlite_shop: Any) -> None:
    """The rows around it come in."""
    result = sqlite_shop.imports("contacts", "id,first_name\na,A\nb\nc,C\n")
    assert (result.refused, sqlite_shop.rows(C.shop_id, order_by=C.id)) == (1, [("a",), ("c",)])
    assert "3,1 cells where the header has 2" in Path(result.refused_file).read_text()


def test_a_mapping_is_saved_and_read_again(tmp_path: Path) -> None:
    """Norway stays NO, and a misspelt key is named."""
    source = Source(columns={"id": "Customer ID"}, country="NO", ignore=["x"], ignore_others=True)
    write_mapping(tmp_path / "m.yaml", source)
    assert read_mapping(tmp_path / "m.yaml") == source
    (tmp_path / "m.yaml").write_text("colums: {a: b}")
    with pytest.raises(MappingError, match="no key 'colums'; did you mean \"columns\""):
        read_mapping(tmp_path / "m.yaml")
