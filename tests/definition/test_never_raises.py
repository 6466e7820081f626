"""Whatever stands in a file, reading it ends with problems that have places, never with an exception."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from carillon.definition.load import load_workspace
from carillon.definition.source import BREAK, read_source
from carillon.kernel.problems import render
from tests.definition.conftest import RIGHT

RICH = """\
title: x
topic: offers
ends: {value: sale_ends}
goal: {event: order_completed, same: cart_id, within: 3d, value: total, where: {products: {category: shoes}}}
exit_on: [goal, {event: order_completed, same: cart_id}]
audience: {segment: buyers, exclude: [{received: {campaign: sale, in_last: 7d}}]}
entry: {event: cart_updated, where: {total: {over: 20}}, once_per: cart_id, again: after 3d}
holdout: {none: law}
verdict: {by: goal, alpha: 5%, looks: [4h, 8h]}
journey:
  - email: hello
    test: {variants: [a, b]}
  - wait: {until: monday, at: 09:00}
  - choose:
      - if: [{clicked: hello}, {contact: {age: {between: [1, 2]}}}, {event: order_completed, sum: {of: total, over: 5}}]
        then: {exit: bought}
      - otherwise:
          - split: {a: {share: 30%, then: {email: hello, id: again}}, b: {then: []}}
  - wait_for: [{if: {score: x}, then: {points: {add: 3}}}, {after: 3d, then: {first_reachable: [{sms: hello}]}}]
"""
TEXTS = {**RIGHT, "sale/campaign.yaml": RICH}


@given(st.binary(max_size=200))
@example(b"\r'")
@example("a: {{ b }}\u2028'".encode())
def test_random_bytes_give_problems_with_places(raw: bytes) -> None:
    """Any bytes: no exception, each problem names the file and, if any, a line that exists."""
    source = read_source(raw, "x.yaml")
    lines = len(BREAK.split(source.text))
    for problem in source.problems:
        assert problem.position.file == "x.yaml"
        assert 0 <= problem.position.line <= lines
    assert (
        source.root is not None
        or source.problems
        or not raw.strip()
        or raw.lstrip().startswith((b"#", b"%", b"-", b"."))
    )
    render(source.problems, {"x.yaml": source.text})


_PIECES = st.sampled_from(
    ["", " ", "  ", "\n", "\t", "{", "}", "[", "]", ":", ": ", ",", "- ", "#", " #", "&a ", "*a", "|", ">", "'", '"', "%", "!", "?",
     "null", "0", "-1", "99999999999999999999", "3m", "10%", "{value: x}", "{value: [a]}", "{{ a }}", "any", "everyone", "é", "\x00", "<<: "]
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    """A file of a right workspace with up to three stretches replaced by other text or by a stretch of itself."""
    path = draw(st.sampled_from(sorted(path for path in TEXTS if path.endswith(".yaml"))))
    text = TEXTS[path]
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 15)))
        from_here = draw(st.integers(0, len(text)))
        text = text[:start] + draw(_PIECES | st.just(text[from_here : from_here + 12])) + text[end:]
    return path, text


@settings(deadline=None, max_examples=40)
@given(mutated())
def test_a_mutated_workspace_never_raises(change: tuple[str, str]) -> None:
    """A spoiled file of a whole workspace: problems with places that can be shown, and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "campaigns"
        for path, text in {**TEXTS, change[0]: change[1]}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        loaded = load_workspace(root)
    for problem in loaded.problems:
        assert problem.position.file.startswith("campaigns/")
        assert problem.message
        assert problem.position.line <= loaded.sources.get(problem.position.file, "").count("\n") + 1
    render(loaded.problems, loaded.sources)
