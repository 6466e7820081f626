"""Addresses are what the two libraries say, whatever short cut was taken."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given, settings
from hypothesis import strategies as st

from carillon.people.addresses import country_code, email_key, language_tag, phone_key

PHONES = Path(__file__).parents[2].parent / "shared" / "data" / "phone_examples.csv"

LOCALS = st.text("abcXYZ019.!#+_-=~'\"@ ü", min_size=0, max_size=66)
DOMAINS = st.one_of(st.sampled_from(["example.org", "Example.ORG", "x", "bücher.example", "a..b", "-a.de", "test.local"]),
                    st.text("ab1.-ü", max_size=12))  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(LOCALS, DOMAINS)
def test_the_short_cut_says_what_the_validator_says(local: str, domain: str) -> None:
    """The domain's verdict is remembered, the plain local part is matched: both as if asked whole."""
    address = f"{local}@{domain}"
    try:
        found = validate_email(address.strip(), check_deliverability=False)
        expected = f"{found.local_part}@{found.ascii_domain}".lower()
    except EmailNotValidError:
        expected = None
    try:
        assert email_key(address) == expected
    except ValueError:
        assert expected is None


@pytest.mark.parametrize(
    ("text", "country", "key"),
    [
        ("0151 12345678", "DE", ("+4915112345678", "DE")),
        ("+1 (415) 555-2671", None, ("+14155552671", "US")),
        ("0044 20 7946 0958", "DE", ("+442079460958", "GB")),
        ("06 698 82000", "IT", ("+390669882000", "IT")),
    ],
)
def test_numbers_are_read_as_people_of_the_country_write_them(text: str, country: str | None, key: object) -> None:
    """Trunk prefixes go, Italy's zero stays."""
    assert phone_key(text, country)[0] == key[0]  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "country"), [("12", "DE"), ("call me", "DE"), ("0151 12345678", None), ("+49 1", None)]
)
def test_what_is_no_number_is_refused(text: str, country: str | None) -> None:
    """Without a country a national number is nobody's."""
    with pytest.raises(ValueError, match="no telephone number"):
        phone_key(text, country)


@pytest.mark.skipif(not PHONES.exists(), reason="../shared/data/phone_examples.csv is not here")
def test_every_countrys_example_number_is_read() -> None:
    """The numbering plans' own examples, in national and international spelling, give the same key."""
    with PHONES.open(newline="") as source:
        rows = list(csv.DictReader(source))
    wrong = [
        (row["region"], row["type"])
        for row in rows
        if (phone_key(row["international"], None)[0], phone_key(row["national"], row["region"])[0])
        != (row["e164"],) * 2
    ]
    assert (len(rows), wrong) == (489, [])


@pytest.mark.parametrize(
    ("text", "code"), [("de", "DE"), ("United Kingdom", "GB"), ("EIRE", "IE"), ("Norway", "NO"), ("Österreich", "AT")]
)
def test_countries_by_code_or_name(text: str, code: str) -> None:
    """Two letters, the English name, or a common other one."""
    assert country_code(text) == code


def test_languages_are_tags() -> None:
    """Spelt as BCP 47 spells them."""
    assert [language_tag(text) for text in ("DE", "de_at", "zh-hant-TW")] == ["de", "de-AT", "zh-Hant-TW"]
    with pytest.raises(ValueError, match="no language"):
        language_tag("German")
