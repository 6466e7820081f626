"""Compile a message: from its files to a `Content`, or to everything that is wrong with it at once."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from html import escape, unescape
from typing import Any

from liquid import BoundTemplate
from liquid.exceptions import LiquidError

from carillon.definition.model import MessageSource, MessageWords, SourceText
from carillon.kernel.channels import Channel
from carillon.kernel.problems import Position, Problem, did_you_mean, in_order
from carillon.messages import markup
from carillon.messages.composing import Composer
from carillon.messages.content import TAGGED, Content, Link, token_tag
from carillon.messages.hiding import Hidden, hide_in_html, hide_in_text
from carillon.messages.lints import lint_pictures, lint_size, lint_subject
from carillon.messages.liquid import Dialect, html_dialect, parse, plain_dialect
from carillon.messages.names import STATEFUL, Misnomer, misnomers, names_of, required_paths, unbounded_ranges
from carillon.messages.pieces import Composed, Origin, Piece
from carillon.messages.tracking import Tracker


@dataclass(frozen=True, slots=True)
class Setting:
    """What a message is compiled with beside its own files."""

    default_language: str
    public_url: str
    """Pixel, click and unsubscribe links hang below it."""
    brand_name: str = ""
    brand_address: str = ""
    is_marketing: bool = True
    is_confirming: bool = False
    """Whether it asks for a second yes, with `links.confirm`."""
    is_tracked: bool = True
    """Whether opens and clicks of it are the contact's: a mail to one of ours has no pixel, and its links lead directly."""
    utm: Mapping[str, str] = field(default_factory=dict)
    """Added to every link: utm_source, utm_medium, utm_campaign, utm_content."""
    values: Mapping[str, Any] = field(default_factory=dict)
    currency: str = "EUR"
    shared: Mapping[str, SourceText] = field(default_factory=dict)
    """Files of `shared/` by their path below it."""
    known: Mapping[str, Iterable[str] | None] = field(
        default_factory=lambda: {"contact": None, "trigger": None, "answer": None, "coupon": ("code", "valid_until")}
    )
    """Names that messages may use beside ours: root → fields, None for any field."""
    footer: Mapping[str, str] = field(default_factory=dict)
    """Country → what stands below every message of this channel; '' is for all others."""
    money_paths: tuple[str, ...] = ()
    """Which of them are money: `contact.credit`, `trigger.total`, `trigger.products[].price`."""
    links_before: tuple[Link, ...] = ()
    """Links of the content that this one replaces: slots in mails that have left must go on leading where they led."""
    subject: str = ""
    """The step's short form, where the message has no words of its own."""
    place_of: Callable[[str, str], Position] = field(default=lambda file, key: Position(file))
    """(words' file, `subject` or `texts.headline`) → where it stands in YAML."""


@dataclass(frozen=True, slots=True)
class Compilation:
    """The content, or None where a problem is an error."""

    content: Content | None
    problems: tuple[Problem, ...]


def compile_content(source: MessageSource, channel: Channel, language: str, arm: str, setting: Setting) -> Compilation:
    """One message in one channel, language and arm ('' where there is no test)."""
    work = _Work(source, channel, language, arm, setting)
    content = work.sms() if channel is Channel.SMS else work.email()
    problems = tuple(in_order(work.problems))
    lame = content is None or any(problem.severity == "error" for problem in problems)
    return Compilation(None if lame else content, problems)


class _Work:
    """One compilation on its way: links found so far and problems."""

    def __init__(self, source: MessageSource, channel: Channel, language: str, arm: str, setting: Setting) -> None:
        self.source, self.channel, self.language, self.arm, self.setting = source, channel, language, arm, setting
        words = source.words.get(language) or MessageWords()
        variant = words.variants.get(arm) or MessageWords()
        self.words_path = words.path or source.name
        self.subject = variant.subject or words.subject or setting.subject
        self.preheader = variant.preheader or words.preheader or ""
        texts = {key: SourceText(self.words_path, text) for key, text in {**words.texts, **variant.texts}.items()}
        self.texts = texts
        self.composer = Composer(setting.shared, texts, setting.place_of, setting.footer)
        self.problems = self.composer.problems
        self.salt = self._salt()
        self.tags = {letter: token_tag(self.salt, letter) for letter in TAGGED}
        before = {link: n for n, link in enumerate(setting.links_before)}
        self.tracker = Tracker(setting.public_url, setting.utm, self.salt, self.problems, before, setting.is_tracked)

    def _salt(self) -> str:
        seed = repr((self.source, self.language, self.arm, sorted(self.setting.shared.items())))
        salt = hashlib.blake2b(seed.encode(), digest_size=4, person=b"carillon-tag-v1").hexdigest()
        while salt in seed:
            salt = hashlib.blake2b(salt.encode(), digest_size=4).hexdigest()
        return f"c{salt}"

    # ------------------------------------------------------------ the two channels

    def email(self) -> Content | None:
        design = self._design()
        if not self.subject:
            self._wrong(
                Position(self.words_path), "MSG401", f'message "{self.source.name}" has no subject in {self.language}'
            )
        subject = self._words(self.subject, "subject", for_html=False)
        preheader = self._words(self.preheader, "preheader", for_html=True)
        own_text = self._in_language(self.source.txt)
        if design is None and own_text is None:
            self._wrong(
                Position(self.source.name),
                "MSG401",
                f'no design for the e-mail "{self.source.name}"',
                "messages/NAME.mjml, NAME.html or NAME.txt",
            )
            return None
        html_pieces, derived = self._html(*design, preheader) if design else ([], [])
        text_pieces = self._plain(own_text) if own_text is not None else derived
        html, text = Composed(html_pieces), Composed(text_pieces)
        visible = Composed(derived) if design else text
        self._check_footer(html if design else text, visible)
        for file, seen in ((design[0] if design else None, visible), (own_text, text)):
            if file is not None:
                self._check_confirming(file, seen)
        self.problems += [*lint_subject(subject), *(lint_size(html) if design else ())]
        return self._content(subject=subject, html=html, text=text)

    def sms(self) -> Content | None:
        file = self.source.sms.get(self.language)
        if file is None:
            self._wrong(
                Position(self.source.name), "MSG401", f'no SMS of the message "{self.source.name}" in {self.language}'
            )
            return None
        hidden = hide_in_text(self.composer.compose(file, for_html=False), self.salt)
        text = self.tracker.track_text(hidden, hidden.composed.text.strip(), "s")
        self._check_confirming(file, Composed(text))
        return self._content(subject=Composed([]), html=Composed([]), text=Composed(text))

    def _design(self) -> tuple[SourceText, bool] | None:
        for files, is_mjml in ((self.source.mjml, True), (self.source.html, False)):
            if self.language in files:
                return files[self.language], is_mjml
        for files, is_mjml in ((self.source.mjml, True), (self.source.html, False)):
            if (found := self._in_language(files)) is not None:
                return found, is_mjml
        return None

    def _in_language(self, files: Mapping[str, SourceText]) -> SourceText | None:
        return files.get(self.language) or files.get(self.setting.default_language)

    def _words(self, text: str, key: str, *, for_html: bool) -> Composed:
        return Composed(self.composer.phrase(SourceText(self.words_path, text), key, for_html))

    # ------------------------------------------------------------ HTML and plain part

    def _html(self, file: SourceText, is_mjml: bool, preheader: Composed) -> tuple[list[Piece], list[Piece]]:
        composed = self.composer.compose(file, for_html=True)
        is_mjml = is_mjml or "<mjml" in composed.text
        hidden = hide_in_html(composed, self.salt, is_mjml=is_mjml)
        self.problems += lint_pictures(composed)
        for piece, reason in hidden.misplaced:
            self._wrong(piece.position(), "MSG408", reason)
        html = self._laid_out(hidden, file, is_mjml)
        if html is None:
            return [], []
        self._check_order(hidden, html)
        marked, carried = self.tracker.track_html(hidden, html)
        derived = self.tracker.reveal_links(hidden, markup.plain_from_html(marked, self.salt), carried, in_html=False)
        before, body, after = (
            re.split(r"(?s)(<body[^>]*>)", marked, maxsplit=1) if "<body" in marked else ("", "", marked)
        )
        rest, closing, end = after.rpartition("</body>") if "</body>" in after else (after, "", "")
        pieces = [
            *self.tracker.reveal_links(hidden, before + body, carried, in_html=True),
            *self._preheader(preheader, file),
            *self.tracker.reveal_links(hidden, rest, carried, in_html=True),
            Piece(self._pixel() + closing + end, Origin(file)),
        ]
        return pieces, derived

    def _laid_out(self, hidden: Hidden, file: SourceText, is_mjml: bool) -> str | None:
        text = hidden.composed.text
        if is_mjml:
            wrong = list(markup.lint_mjml(hidden))
            self.problems.extend(wrong)
            if any(problem.code == "MSG412" for problem in wrong):
                return None
        try:
            return markup.inline_css(markup.from_mjml(text) if is_mjml else text, self.salt)
        except ValueError as error:
            self._wrong(
                Position(file.path),
                "MSG413",
                f"the design cannot be read: {error}",
                suggestion="write & as &amp;, close every tag, put quotes around attributes",
            )
            return None

    def _check_order(self, hidden: Hidden, html: str) -> None:
        """Whatever moved or dropped a Liquid tag would mail nonsense: better say so."""
        found = hidden.numbers(html)
        for number, piece in enumerate(hidden.pieces):
            if number not in found:
                self._wrong(
                    piece.position(), "MSG408", f"{piece.text} is lost where it stands: the design drops it there"
                )
        tags = list(dict.fromkeys(n for n in found if not hidden.pieces[n].is_output))
        for before, after in itertools.pairwise(tags):
            if after < before:
                self._wrong(
                    hidden.pieces[after].position(),
                    "MSG408",
                    f"{hidden.pieces[after].text} would be moved: it stands across tags",
                )

    def _preheader(self, preheader: Composed, file: SourceText) -> list[Piece]:
        if not preheader.text:
            return []
        style = (
            "display:none;font-size:1px;line-height:1px;max-height:0;max-width:0;opacity:0;overflow:hidden;mso-hide:all"
        )
        return [Piece(f'<div style="{style}">', Origin(file)), *preheader.pieces, Piece("</div>", Origin(file))]

    def _pixel(self) -> str:
        if not self.setting.is_tracked:
            return ""
        address = escape(f"{self.setting.public_url}/o/{self.tags['o']}")
        return f'<img src="{address}" width="1" height="1" alt="" style="display:block;border:0">'

    def _plain(self, file: SourceText) -> list[Piece]:
        hidden = hide_in_text(self.composer.compose(file, for_html=False), self.salt)
        return self.tracker.track_text(hidden, hidden.composed.text, "c")

    # ------------------------------------------------------------ checks and result

    def _check_confirming(self, file: SourceText, visible: Composed) -> None:
        if self.setting.is_confirming and "links.confirm" not in visible.text:
            self._wrong(
                Position(file.path),
                "MSG422",
                f'"{self.source.name}" asks for a second yes without a visible link in {self.language}',
                "{{ links.confirm }}",
            )

    def _check_footer(self, html: Composed, visible: Composed) -> None:
        if not self.setting.is_marketing:
            return
        at = html.pieces[0].origin.source.path if html.pieces else self.source.name
        if "links.unsubscribe" not in visible.text and "links.preferences" not in visible.text:
            self._wrong(
                Position(at),
                "MSG420",
                "marketing mail without a visible unsubscribe link",
                '<a href="{{ links.unsubscribe }}">',
            )
        address = " ".join(self.setting.brand_address.split())
        seen = " ".join(unescape(re.sub(r"<[^>]+>", " ", html.text)).split())
        if "brand.address" not in html.text and (not address or address not in seen):
            self._wrong(
                Position(at), "MSG421", "marketing mail without the brand's postal address", "{{ brand.address }}"
            )

    def _content(self, subject: Composed, html: Composed, text: Composed) -> Content | None:
        parts = [
            self._parsed(plain_dialect(), subject),
            self._parsed(html_dialect(), html),
            self._parsed(plain_dialect(), text),
        ]
        parsed = [part for part in parts if part is not None]
        if len(parsed) < len(parts):
            return None
        reads = [names_of(part, part.nodes) for part, _ in parsed]
        paths = tuple(dict.fromkeys(column for names in reads for column in names.columns))
        return Content(
            channel=self.channel, language=self.language, arm=self.arm,
            subject=subject.text, html=html.text, text=text.text,
            links=tuple(self.tracker.links), constants=self._constants(), utm=dict(self.setting.utm),
            public_url=self.setting.public_url, salt=self.salt, is_marketing=self.setting.is_marketing,
            paths=paths,
            money_paths=tuple(p for p in self.setting.money_paths if p.partition("[]")[0] in paths),
            required_paths=tuple(dict.fromkeys(path for part, _ in parsed for path in required_paths(part))),
            per_person_because=next((reason for part in parsed if (reason := self._crossing(*part))), ""),
            can_skip=any("skip" in names.tags for names in reads),
        )  # fmt: skip

    def _constants(self) -> dict[str, Any]:
        base = self.setting.public_url
        confirming = {"confirm": f"{base}/y/{self.tags['y']}"} if self.setting.is_confirming else {}
        return {
            "t": {key: text.text for key, text in self.texts.items()},
            "values": {name: _stored(value) for name, value in self.setting.values.items()},
            "brand": {"name": self.setting.brand_name, "address": self.setting.brand_address},
            "links": {
                "unsubscribe": f"{base}/u/{self.tags['u']}",
                "preferences": f"{base}/p/{self.tags['p']}",
                "browser": f"{base}/b/{self.tags['b']}",
                **confirming,
            },
            "currency": self.setting.currency,
            "locale": self.language.replace("-", "_"),
        }

    def _parsed(self, dialect: Dialect, composed: Composed) -> tuple[BoundTemplate, Composed] | None:
        source = composed.text
        try:
            template = parse(dialect, source)
        except LiquidError as error:
            offset = error.token.start_index if error.token is not None and error.token.start_index >= 0 else 0
            self._wrong(composed.position(offset), "MSG402", f"Liquid: {error.message}")
            return None
        for offset in unbounded_ranges(template):
            self._wrong(
                composed.position(offset), "MSG404", "a range needs two numbers, at most 1,000 apart", "(1..10)"
            )
        for name, spans in template.analyze(include_partials=False).filters.items():
            if name not in dialect.filters:
                at = composed.position(spans[0].index, len(name))
                self._wrong(at, "MSG402", f'Liquid: no filter "{name}"', suggestion=did_you_mean(name, dialect.filters))
        known = {
            **self.setting.known,
            **{name: tuple(v) if isinstance(v, dict) else None for name, v in self._constants().items()},
        }
        for lame in misnomers(template, known):
            at = composed.position(lame.offset, len(lame.name))
            self._wrong(at, "MSG403", f'nothing is called "{lame.name}"', suggestion=_instead(lame))
        names = names_of(template, template.nodes)
        for root in names.whole_roots:
            self._wrong(
                composed.position(max(0, source.find(root))), "MSG403", f'"{root}" alone is no text', f"{root}.FIELD"
            )
        return template, composed

    def _crossing(self, template: BoundTemplate, composed: Composed) -> str:
        """Where a state crosses the template's parts: such a template is rendered whole."""
        stateful = [n for n in template.nodes if names_of(template, [n]).tags & (STATEFUL | {"continue_offset"})]
        if len(stateful) < 2:
            return ""
        at = composed.position(stateful[0].token.start_index)
        return f"line {at.line}: {stateful[0].token.value}" if at.line else f"{at.file}: {stateful[0].token.value}"

    def _wrong(
        self, at: Position, code: str, message: str, expected: str = "", suggestion: str = "", warning: bool = False
    ) -> None:
        self.problems.append(Problem(at, code, message, expected, suggestion, "warning" if warning else "error"))


def _instead(lame: Misnomer) -> str:
    """What to write for a name that means nothing; a code that is there is given by its step, and ends by its pool."""
    if lame.name == "coupon.valid_until" and lame.among:
        return "its codes are good for ever: valid_for under the pool in workspace.yaml ends them"
    if lame.name.partition(".")[0] == "coupon" and not lame.among:
        return "its step gives no code: write coupon: POOL beside it"
    return did_you_mean(lame.name, lame.among)


def _stored(value: Any) -> Any:
    """A value of values.yaml as it is kept in JSON; the `date` and `money` filters read it back."""
    if isinstance(value, (date, Decimal)):
        return value.isoformat() if isinstance(value, date) else str(value)
    return value
