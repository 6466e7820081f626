"""Where YAML eats text or surprises people, the answer says what happened and what to do."""

from __future__ import annotations

import pytest

from carillon.definition.nodes import Map
from carillon.definition.source import MOST_BYTES, read_source
from carillon.kernel.problems import render


def said(raw: str | bytes, *, words: bool = False) -> str:
    source = read_source(raw.encode() if isinstance(raw, str) else raw, "x.yaml", words=words)
    return render(source.problems, {"x.yaml": source.text})


TRAPS = {
    "a comma in braces": (
        "m: {subject: Up to 50%, today only}",
        (
            'x.yaml:1:25  YAML112  the comma ended the subject: put it in quotes, or "today only" stands for nothing\n'
            "      1 | m: {subject: Up to 50%, today only}\n"
            '        |                         ^^^^^^^^^^ subject: "…, today only"'
        ),
    ),
    "a lost end": (
        "subject: Deal #1 of the year",
        (
            'x.yaml:1:15  YAML113  warning: everything after " #" is lost: the value is "Deal"\n'
            "      1 | subject: Deal #1 of the year\n"
            "        |               ^^^^^^^^^^^^^^ put the whole text in quotes, or two blanks before a comment"
        ),
    ),
    "curly quotes": (
        "subject: “Hello”",
        (
            "x.yaml:1:10  YAML114  warning: curly quotes do not quote: they become part of the text\n"
            "      1 | subject: “Hello”\n"
            '        |          ^^^^^^^ use straight quotes (") or none'
        ),
    ),
    "a key twice": (
        "a: 1\nb: 2\na: 3",
        'x.yaml:3:1  YAML111  the key "a" stands twice; first on line 1\n      3 | a: 3\n        | ^ keep one of them',
    ),
    "a merge": (
        "a: &a {b: 1}\nc:\n  <<: *a",
        (
            'x.yaml:3:3  YAML109  "<<" merges are refused: what a campaign means must stand where it is read\n'
            "      3 |   <<: *a\n"
            "        |   ^^ write the keys out"
        ),
    ),
    "a tab": (
        "a:\n\tb: 1",
        "x.yaml:2:1  YAML110  a tab stands in the indentation\n      2 | ·b: 1\n        | ^ indent with blanks",
    ),
    "Liquid without quotes": (
        "subject: {{ contact.first_name }}, hello",
        (
            'x.yaml:1:10  YAML116  text that begins with "{{" needs quotes\n'
            "      1 | subject: {{ contact.first_name }}, hello\n"
            "        |          ^^^^^^^^^^^^^^^^^^^^^^^^ quote the whole text"
        ),
    ),
    "a second colon": (
        "subject: Sale: today",
        (
            "x.yaml:1:14  YAML110  a second colon stands in this line\n"
            "      1 | subject: Sale: today\n"
            "        |              ^ put text that holds a colon in quotes, or indent the line as its neighbours"
        ),
    ),
    "a percent sign first": (
        "subject: %50",
        (
            "x.yaml:1:10  YAML110  a text cannot begin with this character\n"
            "      1 | subject: %50\n"
            "        |          ^ put the text in quotes"
        ),
    ),
    "an open quote": (
        "a: 1\nb: 'x\nc: 2",
        "x.yaml:2:4  YAML110  a quote or bracket is not closed\n      2 | b: 'x\n        |    ^ close it",
    ),
    "a tag": (
        "a: !!int 3",
        (
            'x.yaml:1:4  YAML107  the tag "tag:yaml.org,2002:int" is not needed: fields decide what a text means\n'
            "      1 | a: !!int 3\n"
            "        |    ^^^^^^^ leave the tag out"
        ),
    ),
    "a list as a key": (
        "? [a]\n: b",
        "x.yaml:1:3  YAML108  a key is a word, not a list or a mapping\n      1 | ? [a]\n        |   ^^^ write a word",
    ),
    "two documents": (
        "a: 1\n---\nb: 2",
        'x.yaml:2:1  YAML105  a second document begins here ("---"): one file holds one\n      2 | ---\n        | ^^^',
    ),
    "an unknown alias": (
        "a: *b",
        'x.yaml:1:4  YAML115  no anchor "&b" stands above\n      1 | a: *b\n        |    ^^',
    ),
    "an alias in its own anchor": (
        "a: &a [*a]",
        'x.yaml:1:8  YAML115  the alias "*a" stands inside its own anchor\n      1 | a: &a [*a]\n        |        ^^',
    ),
    "a control character": (
        "a: b\x00",
        (
            "x.yaml:1:5  YAML104  an invisible control character (U+0000) stands here\n"
            "      1 | a: b·\n        |     ^ delete it"
        ),
    ),
}


@pytest.mark.parametrize(("text", "answer"), TRAPS.values(), ids=TRAPS)
def test_a_trap_is_named_at_its_place(text: str, answer: str) -> None:
    """Each trap of YAML is answered with its place, what it did and what to do."""
    assert said(text) == answer


def test_other_encodings_are_named() -> None:
    """Latin-1 and UTF-16 are refused by name, a byte order mark only warned of."""
    assert said("a: grün".encode("latin-1")) == (
        "x.yaml:1:6  YAML102  the file is not UTF-8; it looks like Windows-1252 or Latin-1\n"
        "      1 | a: grün\n        |      ^ expected UTF-8; save the file as UTF-8"
    )
    assert said("a: b".encode("utf-16")).startswith("x.yaml:1:1  YAML102  the file is encoded as UTF-16\n")
    assert said("a: b".encode("utf-16-le")).startswith("x.yaml:1:1  YAML102  the file is encoded as UTF-16\n")
    marked = read_source(b"\xef\xbb\xbfa: b", "x.yaml")
    assert marked.root == {"a": "b"}
    assert [(p.code, p.severity) for p in marked.problems] == [("YAML103", "warning")]


def test_ordinary_comments_are_no_lost_text() -> None:
    """Two blanks or a blank after the sign mark a comment; in message files every single blank is suspicious."""
    assert said("a: b  #c\nd: [e] #f\ng: h # i") == ""
    assert "YAML113" in said("a: We are # 1", words=True)


def test_bombs_are_stopped_with_a_place() -> None:
    """Deep nesting, too many values, aliases of aliases and large files end the reading, not the process."""
    assert said("[" * 500_000).splitlines()[0] == "x.yaml:1:51  YAML106  nested deeper than 50 levels"
    lines = ["a: &a [1,1,1,1,1,1,1,1,1]"]
    lines += [f"{b}: &{b} [{','.join(['*' + a] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    assert "YAML106  aliases make more than 100,000 values" in said("\n".join(lines))
    assert said(b"a" * (MOST_BYTES + 1)) == "x.yaml  YAML101  the file is larger than 1 MB"


def test_scalars_stay_text_and_keep_their_place() -> None:
    """No type is guessed: Norway, times, postcodes and dates are what was written."""
    root = read_source(b"country: NO\nat: 10:00\nzip: 01067\nwhen: 2026-12-01\non: yes\n", "x.yaml").root
    assert isinstance(root, Map)
    assert root == {"country": "NO", "at": "10:00", "zip": "01067", "when": "2026-12-01", "on": "yes"}
    at = next(value.at for key, value in root.items() if key == "zip")
    assert (at.line, at.column, at.end_column) == (3, 6, 11)


def test_anchors_work_inside_a_file() -> None:
    """An alias is the value of its anchor, at the alias's own place."""
    root = read_source(b"a: &x {b: [1, 2]}\nc: *x\nd: &y z\ne: *y", "x.yaml").root
    assert root == {"a": {"b": ["1", "2"]}, "c": {"b": ["1", "2"]}, "d": "z", "e": "z"}
