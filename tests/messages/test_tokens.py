"""Tokens: made by us only, read back exactly, and short enough for an SMS."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carillon.kernel.tokens import Keyring, Token, TokenKind

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_a_token_is_pinned_for_ever():
    """Mails that were sent hold these very characters: a change of the format must fail here."""
    assert Keyring((NEW,)).make(TokenKind.CLICK, 7, 123_456) == "EQAAAAcAAAAAAeJAUm2zS6lr0zme"


@given(st.sampled_from(TokenKind), st.integers(0, 2**32 - 1), st.integers(0, 2**56 - 1))
@settings(max_examples=50)
def test_a_token_says_what_it_was_made_for(kind, node, enrolment):
    """Any kind, node and enrolment come back, from 28 characters."""
    ring = Keyring((NEW,))
    token = ring.make(kind, node, enrolment)
    assert len(token) == 28
    assert ring.read(token) == Token(kind, node, enrolment)


def test_no_flipped_bit_verifies():
    """Every other character at every place, and every other kind's seal, is refused."""
    ring = Keyring((NEW, OLD), retired=(OTHER,))
    for kind in TokenKind:
        token = ring.make(kind, 3, 99)
        forged = [token[:i] + c + token[i + 1 :] for i in range(28) for c in ALPHABET if c != token[i]]
        assert [t for t in forged if ring.read(t) is not None] == []


def test_a_kind_cannot_be_exchanged_for_another():
    """The head of an open token before the rest of a click token says nothing."""
    ring = Keyring((NEW,))
    tokens = ring.make_all(list(TokenKind), 3, (99,))
    mixed = [tokens[a][0][:16] + tokens[b][0][16:] for a in TokenKind for b in TokenKind if a is not b]
    assert [ring.read(t) for t in mixed] == [None] * 56


@pytest.mark.parametrize(
    "text", ["", "x", "A" * 27, "A" * 29, "é" * 28, "=" * 28, "A" * 24 + "====", "+/" * 14, "\n" * 28]
)
def test_what_is_no_token_is_refused_without_an_exception(text):
    """Scanners send anything."""
    assert Keyring((NEW,)).read(text) is None


def test_the_key_before_still_proves_and_a_retired_key_only_unsubscribes():
    """Keys can be changed without breaking links in flight; unsubscribe links are valid for ever."""
    click, leave = (Keyring((OLD,)).make(kind, 1, 2) for kind in (TokenKind.CLICK, TokenKind.UNSUBSCRIBE))
    both, retired, gone = Keyring((NEW, OLD)), Keyring((NEW,), retired=(OLD,)), Keyring((NEW,))
    assert [both.read(click), retired.read(click), gone.read(click)] == [Token(TokenKind.CLICK, 1, 2), None, None]
    assert [both.read(leave), retired.read(leave), gone.read(leave)] == [
        Token(TokenKind.UNSUBSCRIBE, 1, 2),
        Token(TokenKind.UNSUBSCRIBE, 1, 2),
        None,
    ]


def test_a_batch_makes_the_same_tokens_as_one_by_one():
    """Columns are only faster."""
    ring, enrolments = Keyring((NEW,)), [0, 5, 2**56 - 1]
    columns = ring.make_all((TokenKind.OPEN, TokenKind.MESSAGE), 12, enrolments)
    assert columns == {k: [ring.make(k, 12, e) for e in enrolments] for k in (TokenKind.OPEN, TokenKind.MESSAGE)}
    assert ring.make_all((TokenKind.OPEN,), 12, []) == {TokenKind.OPEN: []}


def test_ids_that_do_not_fit_and_bad_keys_are_refused():
    """Nothing is cut silently."""
    ring = Keyring((NEW,))
    for node, enrolment in ((2**32, 1), (1, 2**56), (-1, 1), (1, -1)):
        with pytest.raises(ValueError, match="does not fit"):
            ring.make(TokenKind.CLICK, node, enrolment)
    for keys in ((), (NEW, OLD, OTHER), (b"short",)):
        with pytest.raises(ValueError, match="key"):
            Keyring(keys)


def test_a_sealed_target_is_proved_by_both_keys_and_no_other_target_is():
    """Only links that we wrote are followed."""
    seal = Keyring((OLD,)).seal_url("https://shop.example/a")
    assert len(seal) == 12
    both = Keyring((NEW, OLD))
    assert both.proves_url("https://shop.example/a", seal)
    assert not both.proves_url("https://evil.example/a", seal)
    assert not Keyring((NEW,)).proves_url("https://shop.example/a", seal)
    assert not both.proves_url("https://shop.example/a", "é")
