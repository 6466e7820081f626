"""Whose clock: a contact's zone, and how we came to know it.

The contact's own, else the phone country's when that has one, else the country's when that has one, else the
workspace's. The source is recorded with the zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Literal

from carillon.kernel.clock import DAY, to_micros
from carillon.kernel.time.zones import is_zone, offset_at, zones_by_country

ZoneSource = Literal["contact", "phone", "country", "workspace"]

_COMPARED_FROM, _COMPARED_DAYS = to_micros(datetime(2026, 1, 1, tzinfo=UTC)), 3653


@dataclass(frozen=True, slots=True)
class ResolvedZone:
    """A contact's zone and where it comes from."""

    zone: str
    source: ZoneSource


def resolve_zone(*, own: str | None, phone_country: str | None, country: str | None, workspace: str) -> ResolvedZone:
    """The contact's zone; an `own` that is no zone counts as absent."""
    if own and is_zone(own):
        return ResolvedZone(own, "contact")
    if found := country_zone(phone_country):
        return ResolvedZone(found, "phone")
    if found := country_zone(country):
        return ResolvedZone(found, "country")
    return ResolvedZone(workspace, "workspace")


@cache
def country_zone(country: str | None) -> str | None:
    """The country's zone if all its clocks go alike (Germany's two do, Spain's three do not), else None."""
    names = zones_by_country().get(country or "", ())
    if len({_clock_of(name) for name in names}) != 1:
        return None
    return names[0]


def _clock_of(name: str) -> tuple[int, ...]:
    """How a zone's clock goes over ten years, asked once a week: equal for two zones means one clock in practice."""
    return tuple(offset_at(name, _COMPARED_FROM + day * DAY) for day in range(0, _COMPARED_DAYS, 7))


def country_of_phone(e164: str) -> str | None:
    """The country (ISO 3166-1 alpha-2) that a phone number in E.164 belongs to; None for free-phone and the like."""
    import phonenumbers  # 60 ms and many megabytes: only where numbers are read

    try:
        region = phonenumbers.region_code_for_number(phonenumbers.parse(e164))
    except phonenumbers.NumberParseException:
        return None
    return region if region in zones_by_country() else None
