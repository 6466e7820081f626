"""Zones: the world's clocks from the pinned `tzdata` wheel, never from the machine, so that all machines agree."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from zoneinfo import ZoneInfo

from carillon.kernel.clock import Micros, from_micros

_MICROSECOND = timedelta(microseconds=1)


class UnknownZoneError(ValueError):
    """No zone of the IANA database has this name."""


@cache
def zone_names() -> frozenset[str]:
    """Every name that `zone` knows."""
    return frozenset(_wheel_text("zones").split())


def is_zone(name: str) -> bool:
    """Is this the exact name of a zone?"""
    return name in zone_names()


@cache
def zone(name: str) -> ZoneInfo:
    """The zone's clock; raises UnknownZoneError."""
    from importlib.resources import files

    # ZoneInfo(name) would ask the operating system's files first, which differ from machine to machine.
    if not is_zone(name):
        raise UnknownZoneError(f"no time zone is called {name!r}")
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as source:
        return ZoneInfo.from_file(source, key=name)


def tzdata_version() -> str:
    """The edition of the IANA database that all local times were computed with, such as `2026a`."""
    return _wheel_text("zoneinfo/tzdata.zi").split(maxsplit=3)[2]


def offset_at(zone_name: str, at: Micros) -> Micros:
    """How far the zone's clock is ahead of UTC at an instant."""
    offset = from_micros(at).astimezone(zone(zone_name)).utcoffset()
    assert offset is not None  # a ZoneInfo always has one
    return offset // _MICROSECOND


def _wheel_text(name: str) -> str:
    from importlib.resources import files

    return files("tzdata").joinpath(*name.split("/")).read_text("utf-8")


@cache
def zones_by_country() -> dict[str, tuple[str, ...]]:
    """The zones of each country (ISO 3166-1 alpha-2), the most populous first where geography allows.

    zone.tab and not zone1970.tab: it names Norway's clock Europe/Oslo and not Europe/Berlin, which is what a marketer
    expects to read, and what stays right if the two should part.
    """
    found: dict[str, list[str]] = {}
    for line in _wheel_text("zoneinfo/zone.tab").splitlines():
        if line and not line.startswith("#"):
            country, _, name = line.split("\t")[:3]
            found.setdefault(country, []).append(name)
    return {country: tuple(names) for country, names in found.items()}
