"""A request written from columns is the request that would be written person by person."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carillon.delivery.protocol import People
from carillon.kernel.spelling import json_spelt
from connectors.sendgrid.envelope import envelope
from connectors.sendgrid.sealed import seal

TEXTS = st.one_of(
    st.text(max_size=12), st.sampled_from(["\x7f", "\x7f\x7f", "a\x7fb", '"', '",', '","', "\\", "\\u001f", "Dörte", "👩‍👩‍👧", ""])
)  # fmt: skip


@st.composite
def _crowds(draw):
    count = draw(st.integers(1, 5))
    column = st.lists(TEXTS, min_size=count, max_size=count)
    values = {f"-x{n}-": draw(column) for n in range(draw(st.integers(0, 3)))}
    headers = {"List-Unsubscribe": draw(column)} if draw(st.booleans()) else {}
    people = People(draw(column), draw(column), values, headers)
    return people, draw(st.lists(st.integers(0, count - 1), min_size=1, unique=True).map(sorted))


@given(_crowds())
@settings(max_examples=50, deadline=None)
def test_columns_become_the_body_that_each_person_would_have_got(crowd):
    """Whatever a text says, also what stands between columns while they are encoded, for all people or some, and
    whether the texts come plain or spelt."""
    people, rows = crowd
    told = {"personalizations": [_person(people, row) for row in rows], "subject": "Hi"}
    spelt = {tag: list(map(json_spelt, column)) for tag, column in people.values.items()}
    for one in (people, replace(people, values=spelt, spelling="json")):
        assert json.loads(envelope(one, {"subject": "Hi"}).body(rows)) == told


@given(_crowds())
@settings(max_examples=50, deadline=None)
def test_a_sealed_envelope_has_the_same_bodies(crowd):
    """Behind its journey, for all people and for some."""
    people, rows = crowd
    made = envelope(people, {"subject": "Hi"})
    sealed = pickle.loads(pickle.dumps(seal(made), pickle.HIGHEST_PROTOCOL))
    everybody = range(len(made))
    assert len(sealed) == len(made)
    assert [sealed.body(rows), sealed.body(everybody)] == [made.body(rows), made.body(everybody)]


def _person(people: People, row: int) -> dict[str, object]:
    person: dict[str, object] = {"to": [{"email": people.addresses[row]}], "custom_args": {"cid": people.cids[row]}}
    if people.values:
        person["substitutions"] = {tag: column[row] for tag, column in people.values.items()}
    if people.headers:
        person["headers"] = {name: column[row] for name, column in people.headers.items()}
    return person


def test_the_longest_texts_of_different_people_are_nobodys_size():
    """Two people with 6,000 bytes each in different values are taken; one with both is not."""
    long = "x" * 6_000
    taken = People(["a", "b"], ["1", "2"], {"-1-": [long, ""], "-2-": ["", long]})
    assert len(envelope(taken, {})) == 2
    with pytest.raises(ValueError, match=r"12006 bytes of values for one person \(row 1\)"):
        envelope(People(["a", "b"], ["1", "2"], {"-1-": ["", long], "-2-": ["", long]}), {})


def test_what_is_spelt_for_json_is_measured_as_it_reads():
    """8,000 quotes are 16,000 characters of JSON, and 8,000 bytes for SendGrid; 6,000 ö are 12,000."""
    assert len(envelope(People(["a"], ["1"], {"-1-": [json_spelt('"' * 8_000)]}, spelling="json"), {})) == 1
    with pytest.raises(ValueError, match="12003 bytes of values"):
        envelope(People(["a"], ["1"], {"-1-": [json_spelt("ö" * 6_000)]}, spelling="json"), {})
