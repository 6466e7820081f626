"""Unsubscribe, preferences and the second yes: what a reader may change with a link from a message, and only with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from carillon.feedback.model import Feedback, FeedbackKind
from carillon.kernel.channels import Channel
from carillon.kernel.clock import SECOND, Clock
from carillon.kernel.tokens import Keyring, Token, TokenKind
from carillon.plan.rules import Rules
from carillon.store.engine import Store
from carillon.web import confirming, persons
from carillon.web.committer import Committer
from carillon.web.persons import Addressee
from carillon.web.render import render, words_for
from carillon.web.wire import Answer, Receive, Scope, caller, form_of, headers_of, page, read_body, spoken, text

PROVIDER = "carillon"
"""`Feedback.provider` of what our own pages saw."""

_LONGEST_FORM = 64 * 1024


class Pages:
    """Each answer is None where the token is not ours, of another kind, or of no send: then nothing has changed."""

    def __init__(
        self, store: Store, keyring: Keyring, rules: Callable[[], Rules], clock: Clock, reports: Committer[Feedback]
    ) -> None:
        self._store, self._keyring, self._rules, self._clock, self._reports = store, keyring, rules, clock, reports

    async def unsubscribe_page(self, raw: str, scope: Scope) -> Answer | None:
        """A page with a button. RFC 8058 §3: scanners fetch this address, so a GET changes nothing."""
        found = await self._found(raw, TokenKind.UNSUBSCRIBE)
        return page(200, self._unsubscribe_html(*found, scope, done=False)) if found else None

    async def unsubscribe(self, raw: str, scope: Scope, receive: Receive) -> Answer | None:
        """One click, by a person or a mail program; answered once it is stored."""
        await read_body(scope, receive, _LONGEST_FORM)
        found = await self._found(raw, TokenKind.UNSUBSCRIBE)
        if not found:
            return None
        at = self._clock.now() // SECOND * SECOND
        said = Feedback(
            FeedbackKind.UNSUBSCRIBED, at, Channel(found[1].channel), PROVIDER, "\n".join((raw, "unsubscribed", str(at))),
            cid=raw, user_agent=headers_of(scope).get("user-agent", ""), ip=caller(scope),
        )  # fmt: skip
        await self._reports.submit([said])
        return page(200, self._unsubscribe_html(*found, scope, done=True))

    async def preferences(self, raw: str, scope: Scope, receive: Receive) -> Answer | None:
        """Every marketing topic on every channel, yes or no; a POST saves them, with this link as the evidence."""
        is_saving = scope["method"] == "POST"
        body = await read_body(scope, receive, _LONGEST_FORM) if is_saving else b""
        found = await self._found(raw, TokenKind.PREFERENCES)
        if not found:
            return None
        token, who = found
        if is_saving:
            try:
                form = form_of(body)
            except ValueError:
                return text(400, "this is no form: nothing was changed")
            evidence = f"preferences page, send {token.node}/{token.enrolment}, from {caller(scope) or 'unknown'}"
            await asyncio.to_thread(self._choose, who, form, evidence)
        return page(200, await asyncio.to_thread(self._preferences_html, who, scope, saved=is_saving))

    async def confirmation(self, raw: str, scope: Scope, receive: Receive) -> Answer | None:
        """A page with a button: mail scanners fetch links, so only a POST is a second yes."""
        token = self._keyring.read(raw)
        if token is None or token.kind is not TokenKind.CONFIRM:
            return None
        if scope["method"] == "POST":
            await read_body(scope, receive, _LONGEST_FORM)
            given = await asyncio.to_thread(self._confirm, token, caller(scope))
            if given is None:
                return None
        asked = await asyncio.to_thread(confirming.question, self._store, token, self._clock.now())
        return page(200, self._confirmation_html(asked, scope)) if asked else None

    def _confirm(self, token: Token, ip: str) -> confirming.Question | None:
        return confirming.confirm(self._store, self._rules(), token, caller=ip, at=self._clock.now())

    async def _found(self, raw: str, kind: TokenKind) -> tuple[Token, Addressee] | None:
        token = self._keyring.read(raw)
        if token is None or token.kind is not kind:
            return None
        who = await asyncio.to_thread(persons.addressee, self._store, token)
        return (token, who) if who else None

    def _choose(self, who: Addressee, form: dict[str, str], evidence: str) -> None:
        rules = self._rules()
        nothing = form.get("do") == "none"
        wanted = {
            (topic, channel): not nothing and form.get(f"{topic}.{channel}") == "yes"
            for topic, rule in rules.topics.items()
            for channel in rule.consent
            if nothing or form.get(f"{topic}.{channel}") in ("yes", "no")
        }
        persons.choose(self._store, rules, who, wanted, evidence=evidence, at=self._clock.now())

    def _unsubscribe_html(self, token: Token, who: Addressee, scope: Scope, *, done: bool) -> str:
        rules = self._rules()
        tag, words = words_for(who.language or spoken(scope))
        named = {"topic": _title(rules, who.topic, tag), "channel": words[who.channel]}
        key = "unsubscribed" if done else "unsubscribe"
        preferences = self._keyring.make(TokenKind.PREFERENCES, token.node, token.enrolment)
        return render(
            "unsubscribe.html", rules, tag, title=words[key].format(**named), text=words[f"{key}_text"].format(**named),
            action=None if done else scope["path"], preferences=f"{rules.public_url.rstrip('/')}/p/{preferences}",
        )  # fmt: skip

    def _confirmation_html(self, asked: confirming.Question, scope: Scope) -> str:
        rules = self._rules()
        tag, words = words_for(asked.language or spoken(scope))
        named = {"topic": _title(rules, asked.topic, tag), "channel": words[asked.channel], "address": asked.address}
        key = {"asks": "confirm", "confirmed": "confirmed", "lapsed": "lapsed"}[asked.state]
        return render(
            "confirm.html", rules, tag, title=words[key].format(**named), text=words[f"{key}_text"].format(**named),
            action=scope["path"] if asked.state == "asks" else None,
        )  # fmt: skip

    def _preferences_html(self, who: Addressee, scope: Scope, *, saved: bool) -> str:
        rules = self._rules()
        tag, words = words_for(who.language or spoken(scope))
        lines: dict[str, list[dict[str, object]]] = {}
        for choice in persons.choices(self._store, rules, who.contact_id):
            field = f"{choice.topic}.{choice.channel}"
            line = {"field": field, "channel_title": words[choice.channel], "allowed": choice.allowed}
            lines.setdefault(choice.topic, []).append(line)
        topics = [{"title": _title(rules, topic, tag), "choices": choices} for topic, choices in lines.items()]
        return render(
            "preferences.html", rules, tag, title=words["preferences"], topics=topics, saved=saved, action=scope["path"]
        )


def _title(rules: Rules, topic: str, language: str) -> str:
    """The topic's public name in the reader's language, else the first; its own where the workspace has dropped it."""
    titles = rules.topics[topic].titles if topic in rules.topics else {}
    return titles.get(language) or next(iter(titles.values()), topic)
