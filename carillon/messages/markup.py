"""From a hidden design to the HTML that mail clients understand, and to its plain part."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from carillon.kernel.problems import Position, Problem, did_you_mean
from carillon.messages.hiding import Hidden, hold_styles, release_styles
from carillon.messages.mjml_words import KNOWN

_MJ_TAG = re.compile(r"""(?s)<!--.*?-->|<(/?)(mj[\w-]*)((?:[^<>"']|"[^"]*"|'[^']*')*?)(/?)>""")
_ATTRIBUTE = re.compile(r"""([\w:-]+)\s*=\s*(?:"[^"]*"|'[^']*')""")
_TABLE = re.compile(r"(?s)(<table\b(?:[^<>\"']|\"[^\"]*\"|'[^']*')*>)((?:\s|<!--lq\w+-->)*<!--lq\w+-->\s*)(?=<tr\b)")


def lint_mjml(hidden: Hidden) -> Iterator[Problem]:
    """Unknown tags and attributes, and tags that do not close: the engine passes the first, and gives the last no place."""
    text, open_tags = hidden.composed.text, list[tuple[str, Position]]()
    for found in _MJ_TAG.finditer(text):
        closing, tag, attributes, closed = found.groups()
        if tag is None:
            continue
        at = hidden.composed.position(found.start(2), len(tag))
        if tag not in KNOWN:
            yield Problem(at, "MSG411", f"MJML has no tag <{tag}>", suggestion=did_you_mean(tag, KNOWN))
        elif not closing:
            yield from _unknown_attributes(hidden, tag, attributes, found.start(3))
        if closing:
            if not open_tags or open_tags[-1][0] != tag:
                yield Problem(at, "MSG412", f"</{tag}> closes nothing here", _expected(open_tags))
                return
            open_tags.pop()
        elif not closed:
            open_tags.append((tag, at))
    for tag, at in open_tags:
        yield Problem(at, "MSG412", f"<{tag}> is never closed")


def _expected(open_tags: list[tuple[str, Position]]) -> str:
    return f"</{open_tags[-1][0]}>" if open_tags else ""


def _unknown_attributes(hidden: Hidden, tag: str, attributes: str, start: int) -> Iterator[Problem]:
    for found in _ATTRIBUTE.finditer(attributes):
        name = found.group(1)
        if name not in KNOWN[tag]:
            at = hidden.composed.position(start + found.start(1), len(name))
            yield Problem(at, "MSG411", f"<{tag}> has no attribute {name}", suggestion=did_you_mean(name, KNOWN[tag]))


def from_mjml(mjml: str) -> str:
    """HTML from MJML; raises ValueError with the engine's sentence. Loads no fonts from elsewhere."""
    from mjml import mjml2html

    return str(mjml2html(mjml, fonts={}))


def inline_css(html: str, salt: str) -> str:
    """Styles moved into the tags; reads no file and no network; raises ValueError where CSS cannot be read."""
    import css_inline

    # The parser would put <tbody> behind a {% for %} and </tbody> before its end: say where it belongs.
    html = _TABLE.sub(r"\1<tbody>\2", html)
    inliner = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)
    try:
        inlined = str(inliner.inline(hold_styles(html, salt)))
    except css_inline.InlineError as error:
        raise ValueError(str(error)) from error
    return release_styles(inlined)


def plain_from_html(html: str, salt: str) -> str:
    """The plain part: text and links in reading order, without what is hidden, placeholders kept."""
    from inscriptis.css_profiles import CSS_PROFILES
    from inscriptis.html_engine import Inscriptis
    from inscriptis.model.config import ParserConfig
    from lxml.html import document_fromstring  # type: ignore[import-untyped]

    tree = document_fromstring(html)
    _keep_placeholders(tree, salt)
    _flatten_tables(tree)
    text = Inscriptis(tree, ParserConfig(css=CSS_PROFILES["strict"].copy(), display_links=True)).get_text()
    lines = [re.sub(r"[ \t\xa0]+", " ", line).strip() for line in text.split("\n")]
    # A tag alone on its line must not leave an empty line, let alone one for every round of its loop.
    text = re.sub(rf"(?m)^((?:lq{salt}\d+cz)+)\n+", r"\1", "\n".join(lines))
    text = re.sub(rf"\n{{2,}}((?:lq{salt}\d+cz)+)", r"\n\1", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _keep_placeholders(tree: Any, salt: str) -> None:
    for comment in list(tree.iter("*", _comment())):
        if not isinstance(comment.tag, str):
            word = (comment.text or "").strip()
            shown = word if re.fullmatch(rf"lq{salt}\d+[oc]z", word) else ""
            before, parent = comment.getprevious(), comment.getparent()
            if parent is None:
                continue
            tail = shown + (comment.tail or "")
            parent.remove(comment)
            if before is not None:
                before.tail = (before.tail or "") + tail
            else:
                parent.text = (parent.text or "") + tail


def _comment() -> Any:
    from lxml.etree import Comment  # type: ignore[import-untyped]

    return Comment


_BLOCKS = frozenset(["div", "p", "table", "tr", "td", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote"])


def _flatten_tables(tree: Any) -> None:
    """Tables of a mail are its layout: rows become lines; cells of plain words stay on one line."""
    tables = [e for e in tree.iter("table", "tbody", "thead", "tfoot", "tr", "td", "th")]
    inline = [
        e for e in tables if e.tag in ("td", "th") and not any(child.tag in _BLOCKS for child in e.iterdescendants())
    ]
    for element in tables:
        element.tag = "div"
    for cell in inline:
        if len([e for e in inline if e.getparent() is cell.getparent()]) > 1:
            cell.tag = "span"
            cell.tail = " " + (cell.tail or "")
