"""workspace.yaml → the brand and its defaults."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal

from carillon.definition.build_conditions import Names, condition_of
from carillon.definition.build_coupons import build_pools
from carillon.definition.build_limits import build_budget, build_limits
from carillon.definition.build_ours import webhook_of
from carillon.definition.campaign_words import AttributionWords
from carillon.definition.model import Attribution, Cost, Sender, Topic, Unsure, Workspace
from carillon.definition.nodes import Map, Node, Seq, Text
from carillon.definition.scalars import Reading
from carillon.definition.words import read
from carillon.definition.workspace_words import SenderWords, TopicWords, UnsureWords, WorkspaceWords
from carillon.kernel.channels import Channel
from carillon.kernel.money import parse_amount
from carillon.kernel.problems import Position, did_you_mean

_REQUIRED = {
    "name": "the brand: name: Acme Shop",
    "timezone": "the time zone that clocks follow: timezone: Europe/Berlin",
    "currency": "the currency of money: currency: EUR",
    "languages": "the languages, the default first: languages: {en: [GB, IE]}",
    "senders": "who writes: senders: {email: {shop: {connector: sandbox, from: Acme <hello@acme.example>}}}",
    "topics": "what messages are about: topics: {offers: {kind: marketing, …}}",
}


def build_workspace(words: WorkspaceWords, names: Names, file: str) -> Workspace:
    """The workspace; what is missing is noted and stands empty."""
    reading = names.typing.reading
    for key, what in _REQUIRED.items():
        if words.lacks(key):
            reading.missing(Position(file), f'the key "{key}" is missing', what)
    languages = _languages(words.languages, reading)
    names.pools = build_pools(words.coupons, reading)
    senders = {Channel(channel): _senders(channel, raw, names) for channel, raw in (words.senders or {}).items()}
    default = next(iter(languages), "en")
    topics = {str(name): _topic(name, topic, default, reading) for name, topic in (words.topics or {}).items()}
    _check_topics(words, senders, reading)
    _check_budget(words, reading)
    _check_rates(words, reading)
    return Workspace(
        name=str(words.name or ""),
        timezone=str(words.timezone or "UTC"),
        currency=str(words.currency or "EUR"),
        address=str(words.address or ""),
        languages=languages or {"en": ()},
        public_url=str(words.public_url or ""),
        senders=senders,
        topics=topics,
        limits=build_limits(words.limits, topics, reading),
        budget=build_budget(words.budget),
        coupons=names.pools,
        exclude=tuple(condition_of(condition, names) for condition in words.exclude or ()),
        holdout=words.holdout,
        margin=words.margin,
        costs={Channel(channel): _cost(raw, reading) for channel, raw in (words.costs or {}).items()},
        rates={str(currency): amount for currency, amount in (words.rates or {}).items()},
        if_unsure=_if_unsure(words.if_unsure or {}, reading),
        attribution=build_attribution(words.attribution, Attribution()),
        footer=_by_country(words.footer, reading),
        sms_footer=_by_country(words.sms_footer, reading),
        proofs=_addresses(words.proofs, reading),
        allow_list={c: tuple(map(str.lower, some)) for c, some in _addresses(words.allow_list, reading).items()},
    )


def _check_rates(words: WorkspaceWords, reading: Reading) -> None:
    for currency, amount in (words.rates or {}).items():
        if currency == words.currency:
            reading.note(currency.at, 3, f"{currency} is our own currency: it is worth 1", "the others only")
        elif amount <= 0:
            worth = f"{currency}: 0.92, what one is worth in {words.currency or 'EUR'}"
            reading.note(currency.at, 3, f"{currency} would be worth nothing", worth)


def build_attribution(words: AttributionWords | None, default: Attribution) -> Attribution:
    """Which send is credited; what is not written is as the workspace, or Carillon, says it."""
    if words is None:
        return default
    return Attribution(words.model, words.click or default.click, words.delivered or default.delivered)


_LANGUAGE, _COUNTRY = re.compile("[a-z]{2,3}(-[A-Z]{2})?"), re.compile("[A-Z]{2}")


def _languages(raw: Node | None, reading: Reading) -> dict[str, tuple[str, ...]]:
    if raw is None:
        return {}
    if isinstance(raw, Text):
        reading.note(raw.at, 3, "this is not a mapping", "{en: [GB, IE], de: [DE, AT, CH]}")
        return {}
    pairs: list[tuple[Node, Node | None]] = list(raw.items()) if isinstance(raw, Map) else [(one, None) for one in raw]
    found: dict[str, tuple[str, ...]] = {}
    for language, countries in pairs:
        if not isinstance(language, Text) or _LANGUAGE.fullmatch(language) is None:
            reading.note(language.at, 3, "this is not a language", "two small letters such as de")
            continue
        found[str(language)] = tuple(_countries(countries, reading))
    return found


def _countries(raw: Node | None, reading: Reading) -> list[str]:
    found = []
    for country in raw if isinstance(raw, Seq) else [raw] if raw is not None else []:
        if isinstance(country, Text) and _COUNTRY.fullmatch(country):
            found.append(str(country))
        else:
            reading.note(country.at, 3, "this is not a country", "two capital letters such as DE")
    return found


def _senders(channel: str, raw: Node, names: Names) -> dict[str, Sender]:
    reading = names.typing.reading
    if not isinstance(raw, Map):
        reading.note(raw.at, 3, "this is not a sender", "{connector: sandbox, from: Acme <hello@acme.example>}")
        return {}
    one_only = any(isinstance(value, Text) for value in raw.values())
    named: list[tuple[str, Node]] = (
        [(channel, raw)] if one_only else [(str(name), value) for name, value in raw.items()]
    )
    found = {}
    for name, node in named:
        words, _ = read(SenderWords, node, reading)
        if words is not None:
            found[name] = _sender(name, Channel(channel), words, reading)
            if channel == "webhook":
                found[name] = webhook_of(found[name], words, names)
    return found


_FROM = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>]+)>")


def _sender(name: str, channel: Channel, words: SenderWords, reading: Reading) -> Sender:
    written = str(words.from_ or "").strip()
    parts = _FROM.fullmatch(written)
    address = parts["address"].strip() if parts else written
    if channel is Channel.EMAIL and "@" not in address:
        reading.missing(words.key_at("from"), "an e-mail sender needs an address", "from: Acme <hello@acme.example>")
    if channel is Channel.SMS and not address and words.messaging_service is None and words.connector != "sandbox":
        reading.missing(words.place, "an SMS sender needs a number or a service", "messaging_service: MG… or from: …")
    return Sender(
        name, channel, str(words.connector), address, parts["name"].strip(' "') if parts else "",
        str(words.reply_to or ""), str(words.messaging_service or ""),
    )  # fmt: skip


def _topic(name: Text, words: TopicWords, language: str, reading: Reading) -> Topic:
    titles = words.name
    if isinstance(titles, Map):
        shown = {str(key): str(value) for key, value in titles.items() if isinstance(value, Text)}
    else:
        shown = {language: str(titles)} if isinstance(titles, Text) else {}
    if words.kind == "marketing" and not words.consent and words.is_whole:
        reading.missing(
            name.at, f'no channel stands under "{name}": nothing would be sent', "consent: {email: explicit}"
        )
    return Topic(
        str(name),
        words.kind,
        shown,
        {Channel(channel): how for channel, how in (words.consent or {}).items()},
        str(words.sender) if words.sender is not None else None,
        str(words.confirm) if words.confirm is not None else None,
    )


def _check_topics(words: WorkspaceWords, senders: Mapping[Channel, Mapping[str, Sender]], reading: Reading) -> None:
    known = {name for of_channel in senders.values() for name in of_channel}
    for topic in (words.topics or {}).values():
        if topic.sender is not None and topic.sender not in known:
            reading.note(
                topic.sender.at, 4, f'no sender "{topic.sender}"', suggestion=did_you_mean(topic.sender, known)
            )
    mails = [name for name, t in (words.topics or {}).items() if t.kind == "marketing" and "email" in (t.consent or {})]
    if mails and words.lacks("address"):
        reading.note(
            mails[0].at, 5, "marketing mail must bear the brand's postal address", "address: Acme GmbH, Hauptstr. 1, …"
        )


def _check_budget(words: WorkspaceWords, reading: Reading) -> None:
    if words.budget is None:
        return
    if words.budget.per == "campaign":
        reading.missing(words.budget.place, "the workspace's budget needs a period", "per: month")
    if words.lacks("costs"):
        reading.missing(
            words.key_at("budget"), "without costs nothing is ever over budget", "costs: {email: 0.0004, sms: 0.06}"
        )


def _cost(raw: Node, reading: Reading) -> Cost:
    if not isinstance(raw, Map):
        return Cost(_amount(raw, reading))
    by_country = {str(country): _amount(value, reading) for country, value in raw.items()}
    default = by_country.pop("default", None)
    if default is None:
        reading.missing(raw.at, 'the key "default" is missing', "what it costs in all other countries: default: 0.06")
    for country in raw:
        if country != "default" and _COUNTRY.fullmatch(country) is None:
            reading.note(country.at, 3, f'"{country}" is not a country', "two capital letters such as US")
    return Cost(default or Decimal(0), by_country)


def _addresses(
    raw: Mapping[Literal["email", "sms", "push", "whatsapp"], Sequence[Text]] | None, reading: Reading
) -> dict[Channel, tuple[str, ...]]:
    for address in (raw or {}).get("email", ()):
        if "@" not in address:
            reading.note(address.at, 3, f'"{address}" is no e-mail address', "crm@acme.example")
    return {Channel(channel): tuple(map(str, addresses)) for channel, addresses in (raw or {}).items()}


def _by_country(raw: Node | None, reading: Reading) -> dict[str, str]:
    """Country → text, '' for all others; a text alone is for all."""
    if raw is None:
        return {}
    if isinstance(raw, Text):
        return {"": str(raw)}
    found: dict[str, str] = {}
    for country, text in raw.items() if isinstance(raw, Map) else ():
        if country != "default" and _COUNTRY.fullmatch(country) is None:
            reading.note(country.at, 3, f'"{country}" is not a country', "two capital letters such as US, or default")
        elif isinstance(text, Text):
            found["" if country == "default" else str(country)] = str(text)
    if not found:
        reading.note(raw.at, 3, "this is no text", "{default: Acme GmbH, US: Reply STOP to end}")
    return found


def _amount(raw: Node, reading: Reading) -> Decimal:
    try:
        return parse_amount(raw if isinstance(raw, Text) else "")
    except ValueError as error:
        reading.note(raw.at, 3, str(error))
        return Decimal(0)


def _if_unsure(
    raw: Mapping[Literal["marketing", "transactional"], Any], reading: Reading
) -> dict[Literal["marketing", "transactional"], Unsure]:
    found: dict[Literal["marketing", "transactional"], Unsure] = {
        "marketing": Unsure("hold"),
        "transactional": Unsure("hold"),
    }
    for kind, what in raw.items():
        if isinstance(what, Text) and what in ("hold", "resend"):
            found[kind] = Unsure("hold" if what == "hold" else "resend")
        elif isinstance(what, Map):
            words, _ = read(UnsureWords, what, reading)
            found[kind] = Unsure("resend", words.resend_after) if words is not None else Unsure("hold")
        else:
            reading.note(what.at, 3, f'"{what}" says not what to do', "hold, resend or {resend_after: 6h}")
    return found
