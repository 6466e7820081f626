"""Lists from files: by id or address, refused rows by number, added to or replaced as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from carillon.people.importing import ListWish
from carillon.people.lists import unknown_lists
from carillon.people.mapping import MappingError
from carillon.store import tables as t

PEOPLE = "id,email\nada,a@x.example\nbob,b@x.example\ncat,B@x.example\n"


@pytest.fixture(autouse=True)
def known(shop: Any) -> None:
    shop.imports("contacts", PEOPLE)


def on(shop: Any, name: str = "vips") -> list[str]:
    m, c = t.list_member, t.contact.c
    query = m.join(t.contact, c.id == m.c.contact_id)
    with shop.store.read() as connection:
        return sorted(connection.scalars(query.select().with_only_columns(c.shop_id).where(m.c.list == name)))


def told(shop: Any) -> list[tuple[Any, ...]]:
    c = t.contact_change.c
    return shop.rows(c.contact_id, c.field, c.old, c.new, c.source, order_by=c.id)


def test_rows_that_name_nobody_we_know_are_refused_by_number(shop: Any) -> None:
    """Whole lines and their reasons stand in the file beside; other columns are passed over."""
    done = shop.imports(
        "list", "customer_id,name\nada,Ada\nzoe,Zoe\n,Nobody\nada,Again\n", "vips.csv", into=ListWish("vips")
    )
    assert (done.rows, done.refused, done.counts) == (4, 2, {"new": 1, "known": 0})
    assert Path(done.refused_file).read_text().splitlines() == [
        "row,reason,customer_id,name",
        "3,\"contact: 'zoe' is not known, import contacts first\"",
        "4,no contact: the row says neither an id nor an address,,Nobody",
    ]  # fmt: skip
    assert on(shop) == ["ada"]


def test_an_address_means_everybody_who_has_it(shop: Any) -> None:
    """A list of a fair has addresses only; the domain's capitals do not matter."""
    done = shop.imports("list", "E-Mail\nb@X.example\nnobody@x.example\nnonsense\n", into=ListWish("fair"))
    assert (done.counts, done.refused) == ({"new": 2, "known": 0}, 2)
    assert on(shop, "fair") == ["bob", "cat"]


def test_an_import_adds_and_replace_makes_the_file_the_whole_list(shop: Any) -> None:
    """Who is taken off is told as who is put on, once, so that exits and waits hear of it."""
    shop.imports("list", "contact\nada\n", into=ListWish("vips"), now=1)
    again = shop.imports("list", "contact\nada\nbob\n", into=ListWish("vips"), now=2)
    whole = shop.imports("list", "contact\nbob\ncat\n", into=ListWish("vips", is_whole=True), now=3)
    assert (again.counts, whole.counts) == ({"new": 1, "known": 1}, {"new": 1, "known": 1, "taken off": 1})
    assert on(shop) == ["bob", "cat"]
    assert told(shop) == [
        (1, "list:vips", None, "on", "import in.csv"), (2, "list:vips", None, "on", "import in.csv"),
        (3, "list:vips", None, "on", "import in.csv"), (1, "list:vips", "on", None, "import in.csv"),
    ]  # fmt: skip


def test_a_file_of_which_nothing_could_be_read_empties_no_list(shop: Any) -> None:
    """The wrong file with --replace takes nobody off."""
    shop.imports("list", "contact\nada\n", into=ListWish("vips"), now=1)
    wrong = shop.imports("list", "contact\nzoe\n", into=ListWish("vips", is_whole=True), now=2)
    assert (wrong.counts, on(shop)) == ({"new": 0, "known": 0}, ["ada"])


def test_a_file_without_people_and_a_list_without_a_file_say_what_to_do(shop: Any) -> None:
    with pytest.raises(MappingError, match="no column says who: --map contact=COLUMN"):
        shop.imports("list", "name\nAda\n", into=ListWish("vips"))
    shop.imports("list", "contact\nada\n", into=ListWish("vips"))
    with shop.store.read() as connection:
        assert unknown_lists(connection, {"vips", "vip", "press"}) == {
            "vip": 'did you mean "vips"?', "press": "carillon import list press FILE",
        }  # fmt: skip
