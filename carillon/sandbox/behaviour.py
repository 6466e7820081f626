"""How simulated people behave: rates, delays and who does what, all from a seed.

Nothing here draws: what a person does with a message is read from one keyed hash of (seed, cid), so the same run twice
is the same, and a person who would have opened variant A at half past nine does so in whatever order mails arrive.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from carillon.kernel.clock import SECOND, Micros

CLOSED = {"extra": "forbid"}
"""For pydantic, which reads the file: a word that is no field is an error."""

Way = Literal["webhook", "link", "both"]

OPEN_DELAY: tuple[tuple[float, int], ...] = (
    (0.00, 5), (0.02, 117), (0.05, 292), (0.10, 585), (0.15, 877), (0.20, 1_671), (0.25, 2_788), (0.30, 4_376),
    (0.35, 6_521), (0.40, 9_401), (0.45, 13_219), (0.50, 18_365), (0.55, 24_884), (0.60, 32_889), (0.65, 43_000),
    (0.70, 57_742), (0.75, 79_863), (0.80, 105_225), (0.85, 155_314), (0.90, 223_527), (0.93, 292_629),
    (0.96, 388_800), (0.98, 478_800), (1.00, 604_800),
)  # fmt: skip
"""Share of all opens → seconds since delivery, read off a published curve of real campaigns over a week."""


@dataclass(frozen=True, slots=True)
class EmailRates:
    """Shares of the mails sent (bounces) and of the mails delivered (all else)."""

    __pydantic_config__: ClassVar[dict[str, str]] = CLOSED
    hard_bounce: float = 0.006
    soft_bounce: float = 0.004
    block: float = 0.003
    open: float = 0.28
    """People; who clicks has opened."""
    machine_open: float = 0.30
    """A mail proxy fetches the images soon after delivery, whoever reads."""
    click: float = 0.045
    machine_click: float = 0.01
    unsubscribe: float = 0.002
    complain: float = 0.0003
    order: float = 0.012


@dataclass(frozen=True, slots=True)
class SmsRates:
    """Shares of the SMS sent (failed) and delivered (all else)."""

    __pydantic_config__: ClassVar[dict[str, str]] = CLOSED
    failed: float = 0.02
    click: float = 0.06
    stop: float = 0.004
    order: float = 0.012


@dataclass(frozen=True, slots=True)
class Orders:
    """What people order: the event of the shop, and its value."""

    __pydantic_config__: ClassVar[dict[str, str]] = CLOSED
    event: str = "order_completed"
    currency: str = ""
    """Empty: the workspace's own, and the shop does not say."""
    median: float = 55.0
    spread: float = 2.0
    """A tenth of all orders is worth more than median × spread, a tenth less than median ÷ spread."""


@dataclass(frozen=True, slots=True)
class Override:
    """Other rates for some messages: those of a category, or with certain words (variants differ by both)."""

    __pydantic_config__: ClassVar[dict[str, str]] = CLOSED
    category: str = ""
    contains: str = ""
    email: Mapping[str, float] = field(default_factory=dict)
    sms: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for given, kind in ((self.email, EmailRates), (self.sms, SmsRates)):
            known = {f.name for f in fields(kind)}
            if unknown := sorted(set(given) - known):
                raise ValueError(f"unknown rate {unknown[0]!r}; there are: {', '.join(sorted(known))}")

    def fits(self, categories: str, words: str) -> bool:
        """Whether it speaks of this message (its categories between line breaks, its words in lower case)."""
        return (not self.category or f"\n{self.category}\n" in categories) and self.contains.lower() in words


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The whole model, as `--behaviour FILE` writes it."""

    __pydantic_config__: ClassVar[dict[str, str]] = CLOSED
    seed: int = 1
    email: EmailRates = field(default_factory=EmailRates)
    sms: SmsRates = field(default_factory=SmsRates)
    orders: Orders = field(default_factory=Orders)
    overrides: tuple[Override, ...] = ()
    opens_by: Way = "webhook"
    """webhook: as an event of SendGrid · link: the pixel in the mail is fetched · both."""
    clicks_by: Way = "webhook"
    unsubscribes_by: Literal["webhook", "header"] = "header"
    """header: a POST to the mail's List-Unsubscribe (RFC 8058), where it has one."""
    progress: bool = False
    """Also tell `processed` (SendGrid) and `sent` (Twilio), which say nothing about people."""
    people: Mapping[str, str] = field(default_factory=dict)
    """Address → the shop's id of the contact, so that orders bear it."""

    def email_rates(self, categories: str, words: str) -> EmailRates:
        """The rates of one mail: later overrides win."""
        rates = self.email
        for override in self.overrides:
            if override.email and override.fits(categories, words):
                rates = replace(rates, **override.email)
        return rates

    def sms_rates(self, words: str) -> SmsRates:
        """The rates of one SMS."""
        rates = self.sms
        for override in self.overrides:
            if override.sms and override.fits("", words):
                rates = replace(rates, **override.sms)
        return rates

    def draws(self, cid: str) -> Draws:
        """What chance holds for one message."""
        key = f"carillon-sandbox-1:{self.seed}".encode()[:64]
        return Draws(hashlib.blake2b(cid.encode(), key=key, digest_size=64).digest())


WHAT = (
    "bounce", "bounce_delay", "delivery", "machine_open", "machine_delay", "open", "open_delay", "click_delay",
    "machine_click", "link", "leave", "order", "order_delay", "value", "person",
)  # fmt: skip
_PLACE = {what: 4 * n for n, what in enumerate(WHAT)}


@dataclass(frozen=True, slots=True)
class Draws:
    """One message's chances: a share in [0, 1) for each kind of decision, from one digest."""

    digest: bytes

    def share(self, what: str) -> float:
        """The share drawn for this decision."""
        place = _PLACE[what]
        return int.from_bytes(self.digest[place : place + 4], "big") / 2**32

    def between(self, what: str, low_s: float, high_s: float) -> Micros:
        """A delay between two numbers of seconds."""
        return round((low_s + (high_s - low_s) * self.share(what)) * SECOND)

    def by_curve(self, what: str) -> Micros:
        """A delay by the curve of real opens."""
        share = self.share(what)
        upper = min(bisect_right(OPEN_DELAY, (share, 1 << 40)), len(OPEN_DELAY) - 1)
        (q0, s0), (q1, s1) = OPEN_DELAY[upper - 1], OPEN_DELAY[upper]
        return round((s0 + (s1 - s0) * (share - q0) / (q1 - q0)) * SECOND)


def load_behaviour(path: Path) -> Behaviour:
    """The model that a YAML file describes; raises ValueError that says what is wrong where."""
    import yaml
    from pydantic import TypeAdapter, ValidationError

    try:
        given: Any = yaml.safe_load(path.read_text("utf-8")) or {}
        return TypeAdapter(Behaviour).validate_python(given)
    except yaml.YAMLError as fault:
        raise ValueError(f"{path}: {fault}") from fault
    except ValidationError as fault:
        first = fault.errors()[0]
        raise ValueError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from fault
