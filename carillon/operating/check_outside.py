"""What `doctor` asks of the world outside: providers, their clocks, our public address, Prefect, installed versions."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import PackageNotFoundError, version

import httpx

from carillon.assembly import SANDBOX, account_of, keyring_of
from carillon.operating.check import Check, Level
from carillon.plan.rules import Rules
from carillon.settings import Settings
from carillon.store.sqlite import driver

PATIENCE_S = 5.0
Versions = Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]]
CAPS: Versions = {"prefect": ((3, 8, 8), (3, 10)), "sqlalchemy": ((2, 0, 40), (2, 1)), "fastapi": ((0, 139), (0, 151))}
"""From and below which versions Prefect serves and schedules (docs/decisions/0002-dependencies.md)."""
CLOCK_WARN_S, CLOCK_BAD_S = 5, 60


def check_versions(caps: Versions = CAPS) -> Iterator[Check]:
    """Is what is installed what we were made for?"""
    python = ".".join(str(n) for n in sys.version_info[:3])
    good, told = sys.version_info >= (3, 11), [f"Python {python}", f"SQLite {driver.sqlite_version}"]
    if not good:
        yield Check("bad", "versions", f"Python {python}", "Carillon needs 3.11 or newer")
    for package, (least, below) in caps.items():
        try:
            found = version(package)
        except PackageNotFoundError:
            yield Check("bad", "versions", f"{package} is not installed", "pip install carillon")
            continue
        told.append(f"{package} {found}")
        if not least <= _numbers(found) < below:
            span = f">={_dotted(least)},<{_dotted(below)}"
            yield Check("bad", "versions", f"{package} {found}", f"pip install '{package}{span}'")
            good = False
    if good:
        yield Check("ok", "versions", ", ".join(told))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())


def _dotted(numbers: Sequence[int]) -> str:
    return ".".join(str(n) for n in numbers)


def check_senders(settings: Settings, rules: Rules, sandbox: Mapping[str, str] | None) -> Iterator[Check]:
    """Do the providers take our keys? And do their clocks agree with ours?"""
    for name in sorted({sender.connector for sender in rules.senders}):
        account = account_of(name, settings, sandbox)
        # A sandbox that is not running is no fault: it is started where it is needed.
        level: Level = "ok" if account.is_good else "warn" if name.startswith(SANDBOX) else "bad"
        yield Check(level, name, account.says, account.do)
        if account.date and (check := _clock(name, account.date)):
            yield check


def _clock(name: str, date: str) -> Check | None:
    try:
        theirs = parsedate_to_datetime(date)
    except ValueError:
        return None
    off = (datetime.now(UTC) - theirs.astimezone(UTC)).total_seconds()
    if abs(off) < CLOCK_WARN_S:
        return Check("ok", "clock", f"as {name}'s, to the second")
    level: Level = "bad" if abs(off) >= CLOCK_BAD_S else "warn"
    where = "ahead of" if off > 0 else "behind"
    return Check(
        level,
        "clock",
        f"this machine is {abs(off):.0f} s {where} {name}",
        "let NTP set it: leases and due instants need it",
    )


def check_secret(settings: Settings, rules: Rules) -> Check:
    """Are links sealed with a key that will outlive this folder?"""
    try:
        keyring_of(settings, rules)
    except ValueError as fault:
        return Check("bad", "secret key", str(fault), "make one (openssl rand -hex 32) and keep it for ever")
    made = not settings.get("CARILLON_SECRET_KEY")
    return Check("ok", "secret key", "made here; enough for the sandbox" if made else "configured")


def check_public(settings: Settings, rules: Rules) -> Iterator[Check]:
    """Does our public address answer, and can webhooks be proved?"""
    names = {sender.connector for sender in rules.senders}
    yield _answers(rules.public_url, is_needed=any(not name.startswith(SANDBOX) for name in names))
    if "sendgrid" in names and not settings.get("SENDGRID_WEBHOOK_PUBLIC_KEY"):
        do = "sign the event webhook (SendGrid: Settings → Mail Settings) and set SENDGRID_WEBHOOK_PUBLIC_KEY"
        yield Check("bad", "webhook key", "no report of SendGrid's can be proved: all are refused", do)


def _answers(public_url: str, *, is_needed: bool) -> Check:
    url = f"{public_url.rstrip('/')}/health"
    do = "carillon up or carillon web, behind your proxy; `public_url` in workspace.yaml names its address"
    try:
        answer = httpx.get(url, timeout=PATIENCE_S, trust_env=False, follow_redirects=False)
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        return Check("bad" if is_needed else "warn", "public_url", f"{url} does not answer: {fault}", do)
    if answer.status_code == 200 and answer.text.strip() == "ok":
        return Check("ok", "public_url", f"{url} answers")
    return Check("bad" if is_needed else "warn", "public_url", f"{url} answers {answer.status_code}, not our ok", do)
