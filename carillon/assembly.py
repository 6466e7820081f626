"""Assembly: settings → store, connectors, engine. The only room that knows which providers exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from carillon.advance.engine import Engine
from carillon.delivery.protocol import Account, Capabilities, Connector
from carillon.feedback.model import WebhookSource
from carillon.kernel.channels import Channel
from carillon.kernel.clock import Clock, SystemClock
from carillon.kernel.tokens import Keyring
from carillon.plan.applied import load_rules
from carillon.plan.rules import Rules
from carillon.settings import Settings, secret_keys
from carillon.store.engine import Store
from carillon.store.migrate import open_store

SANDBOX = "sandbox"
WEBHOOK = "webhook"
"""The connector that calls systems of ours: it bears no link that a key would have to open years later."""
URL_FILE = "url"
"""In the sandbox's folder: where it serves now."""


def open_house(settings: Settings) -> Store:
    """The store of these settings, made and migrated where it is missing."""
    if settings.database_url.startswith("sqlite"):
        settings.state_dir.mkdir(parents=True, exist_ok=True)
    return open_store(settings.database_url)


def keyring_of(settings: Settings, rules: Rules) -> Keyring:
    """The keys that seal links; raises ValueError where a real sender would seal with a key that was made up here."""
    keys, is_made_here = secret_keys(settings)
    real = sorted({s.connector for s in rules.senders if not s.connector.startswith(SANDBOX)} - {WEBHOOK})
    if is_made_here and real:
        raise ValueError(
            f"set CARILLON_SECRET_KEY before sending through {', '.join(real)}: links sealed with the key in "
            f"{settings.state_dir} would stop working when that folder is lost"
        )
    return Keyring(keys[:2], keys[2:])


def engine_of(
    settings: Settings,
    store: Store,
    *,
    campaign_clock: Clock | None = None,
    sandbox: Mapping[str, str] | None = None,
) -> Engine:
    """The engine over this store, with the connectors that the applied rules name.

    `sandbox` are the settings of a running sandbox; needed only where a sender uses it.
    """
    with store.read() as connection:
        rules = load_rules(connection)
    named = {s.connector for s in rules.senders}
    return Engine(
        store=store,
        make_connectors=_maker(named, settings, sandbox),
        max_people=most_people(rules),
        keyring=keyring_of(settings, rules),
        campaign_clock=campaign_clock or SystemClock(),
        machine_clock=SystemClock(),
    )


def connectors_of(rules: Rules, settings: Settings, sandbox: Mapping[str, str] | None) -> Mapping[str, Connector]:
    """The connectors that these rules name; whoever asks for them closes them."""
    return _maker({s.connector for s in rules.senders}, settings, sandbox)()


def most_people(rules: Rules) -> dict[str, int]:
    """How many people one request takes, of each connector that these rules name."""
    return {name: _capabilities(name).max_people for name in {s.connector for s in rules.senders}}


def reporting(rules: Rules) -> frozenset[str]:
    """The connectors of these rules whose provider reports what became of a message."""
    return frozenset(s.connector for s in rules.senders if _capabilities(s.connector).feedback)


def _maker(
    named: set[str], settings: Settings, sandbox: Mapping[str, str] | None
) -> Callable[[], Mapping[str, Connector]]:
    def make() -> Mapping[str, Connector]:
        return {name: _connector(name, settings, sandbox) for name in sorted(named)}

    return make


def _connector(name: str, settings: Settings, sandbox: Mapping[str, str] | None) -> Connector:
    environ = settings.environ
    match name.partition("."):
        case ("sendgrid", _, _):
            from connectors.sendgrid.connector import make as sendgrid

            return sendgrid(environ, name=name)
        case ("twilio", _, _):
            from connectors.twilio.connector import make as twilio

            return twilio(environ, name=name)
        case ("smtp", _, _):
            from connectors.smtp.connector import make as smtp

            return smtp(environ, name=name)
        case ("webhook", _, _):
            from connectors.webhook.connector import make as webhook

            return webhook(environ, name=name)
        case ("sandbox", _, channel):
            from connectors.sandbox.connector import make as double

            if sandbox is None:
                raise ValueError("no sandbox is running: start it with `carillon sandbox` or `carillon up`")
            return double({**environ, **sandbox}, Channel(channel), name=name)
        case _:
            raise ValueError(f'no connector is called "{name}"')


def _capabilities(name: str) -> Capabilities:
    match name:
        case "sendgrid" | "sandbox.email":
            from connectors.sendgrid.making import CAPABILITIES as SENDGRID

            return SENDGRID
        case "twilio" | "sandbox.sms":
            from connectors.twilio.connector import CAPABILITIES as TWILIO

            return TWILIO
        case "smtp":
            from connectors.smtp.connector import CAPABILITIES as SMTP

            return SMTP
        case "webhook":
            from connectors.webhook.connector import CAPABILITIES as CALLS

            return CALLS
        case _:
            raise ValueError(f'no connector is called "{name}"')


def account_of(name: str, settings: Settings, sandbox: Mapping[str, str] | None) -> Account:
    """What the provider behind this connector says of our keys; sends nothing."""
    from connectors.sendgrid.account import account as sendgrid
    from connectors.smtp.account import account as smtp
    from connectors.twilio.account import account as twilio
    from connectors.webhook.account import account as webhook

    if name.startswith(SANDBOX) and sandbox is None:
        return Account(False, "no sandbox is running", "start it: carillon up, or carillon sandbox")
    given = {**settings.environ, **(sandbox or {})} if name.startswith(SANDBOX) else settings.environ
    match name:
        case "sendgrid" | "sandbox.email":
            return sendgrid(given)
        case "twilio" | "sandbox.sms":
            return twilio(given)
        case "smtp":
            return smtp(given)
        case "webhook":
            return webhook(given)
        case _:
            return Account(False, f'no connector is called "{name}"', "look at `senders` in workspace.yaml")


def uses_sandbox(rules: Rules) -> bool:
    """Does any sender of the workspace go to the sandbox?"""
    return any(s.connector.startswith(SANDBOX) for s in rules.senders)


def sandbox_folder(settings: Settings) -> Path:
    """Where the sandbox of this workspace keeps its messages and keys."""
    return settings.state_dir / SANDBOX


def running_sandbox(settings: Settings) -> dict[str, str] | None:
    """The settings of the sandbox that serves this workspace now, or None."""
    from carillon.sandbox.keys import keys_of

    folder = sandbox_folder(settings)
    try:
        url = (folder / URL_FILE).read_text().strip()
        httpx.get(f"{url}/sandbox/keys", timeout=2, trust_env=False).raise_for_status()
    except (OSError, httpx.HTTPError):
        return None
    return keys_of(folder).settings(url)


@contextmanager
def sandbox_at_hand(settings: Settings, rules: Rules) -> Iterator[Mapping[str, str] | None]:
    """A sandbox for the length of the block: the one that runs, else our own; None where nobody sends to it."""
    if not uses_sandbox(rules):
        yield None
        return
    running = running_sandbox(settings)
    if running is not None:
        yield running
        return
    from carillon.sandbox.server import make_world, start_sandbox

    with start_sandbox(make_world(sandbox_folder(settings))) as own:
        yield own.settings


def write_keys(settings: Settings, sandbox: Mapping[str, str] | None) -> list[str]:
    """The keys that open the events API: those of the environment, and the one that the sandbox's shop writes with."""
    given = [key.strip() for key in settings.get("CARILLON_WRITE_KEY").split(",") if key.strip()]
    return [*given, sandbox["CARILLON_WRITE_KEY"]] if sandbox else given


def webhook_sources(settings: Settings, sandbox: Mapping[str, str] | None) -> list[WebhookSource]:
    """The providers' webhooks with their keys: the sandbox's where it serves, else those of the environment."""
    from connectors.sendgrid import webhook as sendgrid
    from connectors.twilio import webhook as twilio

    given = {**settings.environ, **(sandbox or {})}
    public_key = given.get("SENDGRID_WEBHOOK_PUBLIC_KEY", "")
    token = given.get("TWILIO_AUTH_TOKEN", "")

    # A status callback is told to the path of the connector that sent it; the sandbox doubles Twilio.
    twilio_paths = ("twilio", "twilio/status", "twilio/inbound", "sandbox.sms")
    return [sendgrid.source(public_key), *(twilio.source(token, path) for path in twilio_paths)]
