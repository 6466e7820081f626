"""`notify` and `webhook`: what a step tells one of ours, a person by mail or a system by a call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from carillon.definition.build_conditions import Names, condition_of
from carillon.definition.campaign_words import MessageStepWords
from carillon.definition.model import MessageSource, Recipient, Send, Sender
from carillon.definition.nodes import Text
from carillon.definition.words import Words
from carillon.definition.workspace_words import SenderWords
from carillon.kernel.channels import Channel
from carillon.kernel.problems import did_you_mean

LOOPBACK = ("127.0.0.1", "localhost", "::1")

_MAILBOX = re.compile(r"[^\s@<>{}]+@[^\s@<>{}]+\.[^\s@<>{}.]+")
_FIELD = re.compile(r"""\{\{\s*contact\.(\w+)\s*(?:\|\s*default:\s*["']([^"']*)["']\s*)?\}\}""")
_CONTACTS_ONLY = {
    "test": "nobody answers it, so that nothing could be compared",
    "coupon": "a code belongs to the contact",
    "quiet_hours": "quiet hours are the contact's",
    "send_time": "the best hour is the contact's",
}


def to_ours(words: MessageStepWords, step_id: str, was: str | None, names: Names) -> Send:
    """The step; what only a message to the contact may have is a problem."""
    word, message = ("notify", words.notify) if words.notify is not None else ("webhook", words.webhook)
    for key, why in _CONTACTS_ONLY.items():
        if words.has(key):
            names.typing.reading.note(words.key_at(key), 8, f"{word} goes to one of ours: {why}", f"no {key}")
    for key in ("subject", "to"):
        if word == "webhook" and words.has(key):
            names.typing.reading.note(words.key_at(key), 3, f'a webhook has no "{key}"', "its url in workspace.yaml")
    only_if = condition_of(words.only_if, names) if words.only_if is not None else None
    subject = str(words.subject) if words.subject is not None else None
    return Send(
        step_id, Channel(word), str(message), was, only_if, None, words.valid_for, words.valid_until, subject,
        to=_recipient(words, names) if word == "notify" else None,
    )  # fmt: skip


def _recipient(words: MessageStepWords, names: Names) -> Recipient:
    if words.to is None:
        if words.lacks("to"):
            names.typing.reading.missing(
                words.key_at("notify"), "notify whom?", 'to: sales@acme.example, or "{{ contact.store_manager }}"'
            )
        return Recipient()
    found = _FIELD.fullmatch(words.to.strip())
    if found is None:
        _check_mailbox(words.to, str(words.to), names)
        return Recipient(str(words.to).strip())
    name, default = found[1], found[2] or ""
    declared = names.contact.get(name)
    if declared is None:
        names.unknown(words.to, "field", [n for n, one in names.contact.items() if one.type == "email"])
    elif name == "email":
        names.wrong(words.to, "notify writes to one of ours, not to the contact", "the step email: …")
    elif declared.type != "email":
        names.wrong(words.to, f'"{name}" is a {declared.type}, no mailbox', f"{name}: email in data.yaml")
    if default:
        _check_mailbox(words.to, default, names)
    return Recipient(default, name)


def _check_mailbox(at: Text, address: str, names: Names) -> None:
    if _MAILBOX.fullmatch(address.strip()) is None:
        names.wrong(at, f'"{address}" is no mailbox', 'sales@acme.example, or "{{ contact.store_manager }}"')


def check_ours(
    channel: str,
    message: Text,
    step: Words,
    names: Names,
    senders: Mapping[Channel, Mapping[str, Sender]],
    messages: Mapping[str, MessageSource],
) -> None:
    """Whether the webhook is one of workspace.yaml, and the mail has its words and somebody who writes it."""
    if channel == "webhook":
        known = senders.get(Channel.WEBHOOK, {})
        if message not in known:
            near = did_you_mean(message, known)
            line = f"senders: {{webhook: {{{message}: {{connector: webhook, url: https://…}}}}}} in workspace.yaml"
            hint = near if near.startswith("did") else ""
            names.typing.reading.note(message.at, 4, f'no webhook "{message}"', line, hint)
        return
    if not senders.get(Channel.EMAIL):
        names.typing.reading.note(message.at, 4, "no sender for email", "senders: {email: …} in workspace.yaml")
    missing = _missing(messages.get(message), has_subject=step.has("subject"))
    if missing:
        files = " and ".join(f"messages/{message}{ending}" for ending in missing)
        are = "is" if len(missing) == 1 else "are"
        names.typing.reading.note(message.at, 4, f'the mail "{message}" is not complete: {files} {are} missing')


def _missing(source: MessageSource | None, *, has_subject: bool) -> list[str]:
    has_subject = has_subject or (source is not None and any(words.subject for words in source.words.values()))
    has_body = source is not None and (source.mjml or source.html or source.txt)
    return ([] if has_subject else [".yaml"]) + ([] if has_body else [".txt"])


def webhook_of(sender: Sender, words: SenderWords, names: Names) -> Sender:
    """A line of `senders: webhook:` with its address and the fields that it tells."""
    reading = names.typing.reading
    if words.connector != "webhook":
        names.wrong(words.connector, f'"{words.connector}" calls no system of yours', "connector: webhook")
    if words.url is None:
        if words.lacks("url"):
            reading.missing(words.place, "a webhook needs an address", "url: https://desk.acme.example/cases")
    elif urlsplit(words.url).scheme != "https" and urlsplit(words.url).hostname not in LOOPBACK:
        names.wrong(words.url, "what is posted there could be read on the way", "an address that begins with https://")
    for name in words.fields or ():
        if name not in names.contact:
            names.unknown(name, "field", names.contact)
    return replace(sender, url=str(words.url or ""), fields=tuple(map(str, words.fields or ())))
