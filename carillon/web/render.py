"""Pages for people who clicked: plain, readable on a phone, everything from outside escaped, in English or German."""

from __future__ import annotations

from functools import cache
from typing import Any

from carillon.plan.rules import Rules

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "not_found": "This link leads nowhere",
        "not_found_text": "It may be incomplete: some mail programs break long links in two. "
        "Please open it from the message again. Nothing was changed.",
        "sorry": "Please try again in a minute",
        "sorry_text": "We could not store your choice just now. Nothing was lost and nothing was changed.",
        "unsubscribe": "Unsubscribe from “{topic}”?",
        "unsubscribe_text": "You will get no more messages of this kind by {channel}.",
        "unsubscribe_button": "Unsubscribe",
        "unsubscribed": "You are unsubscribed",
        "unsubscribed_text": "You will get no more “{topic}” by {channel}. "
        "A message that is already on its way may still arrive.",
        "confirm": "Do you want “{topic}” by {channel}?",
        "confirm_text": "We will write to {address} as soon as you say yes. If it was not you who asked for it, just close "
        "this page: you will get nothing more.",
        "confirm_button": "Yes, I want it",
        "confirmed": "Thank you, you are in",
        "confirmed_text": "From now on you get “{topic}” by {channel}. You can leave at any time, by a link in each message.",
        "lapsed": "This link is no longer valid",
        "lapsed_text": "A link is good for seven days, and for the address that it was sent to. Please sign up for “{topic}” once more, and we send you a new one. "
        "Nothing was changed.",
        "to_preferences": "Choose what you want to get from us",
        "preferences": "What may we send you?",
        "preferences_text": "Choose for each kind of message and each way. You can come back at any time.",
        "save": "Save",
        "none_at_all": "No messages at all",
        "saved": "Saved.",
        "yes": "Yes",
        "no": "No",
        "email": "e-mail",
        "sms": "text message (SMS)",
        "push": "push notification",
        "whatsapp": "WhatsApp",
    },
    "de": {
        "not_found": "Dieser Link führt nirgendwohin",
        "not_found_text": "Vielleicht ist er unvollständig: Manche Mailprogramme brechen lange Links um. "
        "Bitte öffnen Sie ihn noch einmal aus der Nachricht. Es wurde nichts geändert.",
        "sorry": "Bitte versuchen Sie es in einer Minute noch einmal",
        "sorry_text": "Wir konnten Ihre Wahl gerade nicht speichern. Es ging nichts verloren, und nichts wurde geändert.",
        "unsubscribe": "„{topic}“ abbestellen?",
        "unsubscribe_text": "Sie erhalten dann keine Nachrichten dieser Art mehr per {channel}.",
        "unsubscribe_button": "Abbestellen",
        "unsubscribed": "Abbestellt",
        "unsubscribed_text": "Sie erhalten „{topic}“ nicht mehr per {channel}. "
        "Eine Nachricht, die schon unterwegs ist, kann noch ankommen.",
        "confirm": "Möchten Sie „{topic}“ per {channel}?",
        "confirm_text": "Wir schreiben an {address}, sobald Sie Ja sagen. Falls nicht Sie darum gebeten haben, schließen Sie "
        "einfach diese Seite: Sie erhalten dann nichts weiter.",
        "confirm_button": "Ja, ich möchte das",
        "confirmed": "Danke, Sie sind dabei",
        "confirmed_text": "Ab jetzt erhalten Sie „{topic}“ per {channel}. Sie können jederzeit gehen, über einen Link in jeder "
        "Nachricht.",
        "lapsed": "Dieser Link gilt nicht mehr",
        "lapsed_text": "Ein Link gilt sieben Tage, und für die Adresse, an die er ging. Bitte melden Sie sich noch einmal für „{topic}“ an, dann schicken wir Ihnen einen "
        "neuen. Es wurde nichts geändert.",
        "to_preferences": "Auswählen, was Sie von uns erhalten möchten",
        "preferences": "Was dürfen wir Ihnen senden?",
        "preferences_text": "Wählen Sie für jede Art von Nachricht und jeden Weg. Sie können jederzeit wiederkommen.",
        "save": "Speichern",
        "none_at_all": "Gar keine Nachrichten",
        "saved": "Gespeichert.",
        "yes": "Ja",
        "no": "Nein",
        "email": "E-Mail",
        "sms": "SMS",
        "push": "Push-Nachricht",
        "whatsapp": "WhatsApp",
    },
}


def words_for(language: str) -> tuple[str, dict[str, str]]:
    """The language that a page is written in, and its words: the contact's where we have it, else English."""
    tag = language.partition("-")[0].lower()
    return (tag, WORDS[tag]) if tag in WORDS else ("en", WORDS["en"])


def render(template: str, rules: Rules, language: str, **values: Any) -> str:
    """One page; every value is escaped."""
    tag, words = words_for(language)
    return str(
        _templates()
        .get_template(template)
        .render(language=tag, w=words, brand=rules.name, address=rules.address, **values)
    )


def notice(rules: Rules, language: str, name: str) -> str:
    """A page that only says something: `not_found` or `sorry`."""
    _, words = words_for(language)
    return render("notice.html", rules, language, title=words[name], text=words[f"{name}_text"])


@cache
def _templates() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("carillon.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
