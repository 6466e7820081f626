"""Addresses, countries and languages as the store keeps them; whatever cannot be one is refused with a sentence."""

from __future__ import annotations

import re
from functools import cache, lru_cache

from carillon.kernel.time.zones import zones_by_country

# RFC 5322 dot-atom, the local part that needs no closer look.
_PLAIN_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LONGEST_LOCAL, _LONGEST_PLAIN = 64, 200

_COUNTRY_WORDS = {
    "uk": "GB", "united kingdom": "GB", "great britain": "GB", "england": "GB", "scotland": "GB", "wales": "GB",
    "usa": "US", "united states of america": "US", "america": "US", "eire": "IE", "republic of ireland": "IE",
    "rsa": "ZA", "holland": "NL", "the netherlands": "NL", "deutschland": "DE", "österreich": "AT", "schweiz": "CH",
    "suisse": "CH", "svizzera": "CH", "italia": "IT", "españa": "ES", "norge": "NO", "sverige": "SE", "danmark": "DK",
    "suomi": "FI", "polska": "PL", "czechia": "CZ", "korea": "KR", "south korea": "KR", "republic of korea": "KR",
    "russian federation": "RU", "viet nam": "VN", "turkiye": "TR", "türkiye": "TR", "uae": "AE", "hong kong": "HK",
    "channel islands": "JE", "bosnia and herzegovina": "BA",
}  # fmt: skip


def email_key(text: str) -> str:
    """The address as it is written to: trimmed, the domain in ASCII, all in lower case. Raises ValueError."""
    address = text.strip()
    local, _, domain = address.rpartition("@")
    if len(address) <= _LONGEST_PLAIN and len(local) <= _LONGEST_LOCAL and _PLAIN_LOCAL.fullmatch(local):
        return f"{local.lower()}@{_domain_key(domain.lower())}"
    return _validated(address)


@lru_cache(maxsize=65_536)
def _domain_key(domain: str) -> str:
    """The verdict on a domain, asked once: what stands before it cannot change it."""
    return _validated(f"x@{domain}").partition("@")[2]


def _validated(address: str) -> str:
    from email_validator import EmailNotValidError, validate_email

    try:
        found = validate_email(address, check_deliverability=False)
    except EmailNotValidError as error:
        raise ValueError(str(error).rstrip(".")) from None
    return f"{found.local_part}@{found.ascii_domain}".lower()


@lru_cache(maxsize=8_192)
def phone_key(text: str, country: str | None) -> tuple[str, str | None]:
    """The number in E.164 and its country, read as people of `country` write it. Raises ValueError."""
    import phonenumbers  # many megabytes: only where numbers are read

    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException as error:
        hint = "" if country or text.lstrip().startswith("+") else "; without a country it needs +49… or the like"
        raise ValueError(f"no telephone number ({_sentence(error)}{hint})") from None
    region = phonenumbers.region_code_for_number(number)
    if region is None or not phonenumbers.is_valid_number_for_region(number, region):
        raise ValueError("no telephone number in use: wrong length or prefix")
    key = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return key, region if region in zones_by_country() else None


def _sentence(error: Exception) -> str:
    text = str(error).rstrip(".")
    return text.partition(") ")[2].lower() or text.lower()


@lru_cache(maxsize=4_096)
def country_code(text: str) -> str:
    """The country as ISO 3166-1 alpha-2: from the code, or the English name. Raises ValueError."""
    word = text.strip()
    if word.upper() in zones_by_country():
        return word.upper()
    found = _COUNTRY_WORDS.get(word.casefold()) or _country_names().get(word.casefold())
    if found is None:
        raise ValueError(f"no country {word!r}: two letters such as DE (ISO 3166), or the English name")
    return found


@cache
def _country_names() -> dict[str, str]:
    from importlib.resources import files

    lines = files("tzdata").joinpath("zoneinfo", "iso3166.tab").read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return {name.casefold(): code for code, name in rows}


@lru_cache(maxsize=4_096)
def language_tag(text: str) -> str:
    """The language as BCP 47 writes it, `de` or `de-AT`. Raises ValueError."""
    parts = text.strip().replace("_", "-").split("-")
    if not re.fullmatch(r"[A-Za-z]{2,3}", parts[0]) or not all(re.fullmatch(r"[A-Za-z0-9]{2,8}", p) for p in parts[1:]):
        raise ValueError(f"no language {text.strip()!r}: a tag such as de or pt-BR")
    tail = [part.upper() if len(part) == 2 else part.title() if len(part) == 4 else part for part in parts[1:]]
    return "-".join([parts[0].lower(), *tail])
