"""What delivery may rely on, whichever connector it has: the same questions to each of them."""

from __future__ import annotations

import ast
import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from carillon.delivery.protocol import (
    BODY,
    Accepted,
    Connector,
    Deferred,
    Outcome,
    People,
    Sender,
    Shared,
    SharedCall,
    SharedEmail,
    SharedSms,
)
from carillon.kernel.channels import Channel
from carillon.sandbox.keys import Keys
from carillon.sandbox.server import make_world, start_sandbox
from connectors.sandbox.connector import make as sandbox
from connectors.sendgrid.connector import make as sendgrid
from connectors.smtp.connector import make as smtp
from connectors.twilio.connector import make as twilio
from connectors.webhook.connector import make as webhook

CONNECTORS = Path(__file__).parents[2] / "connectors"

Make = Callable[[Mapping[str, str]], Connector]

MAKERS: dict[str, Make] = {
    "sendgrid": sendgrid,
    "twilio": twilio,
    "smtp": smtp,
    "webhook": webhook,
    "sandbox.email": lambda settings: sandbox(settings, Channel.EMAIL, name="sandbox.email"),
    "sandbox.sms": lambda settings: sandbox(settings, Channel.SMS, name="sandbox.sms"),
}

EMAIL = SharedEmail(Sender(address="hello@acme.example"), "Hello [t]", "<p>[t]</p>", "[t]")
SMS = SharedSms(Sender(messaging_service="MG" + "0" * 32), "Hello [t]")


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Make:
    return MAKERS[request.param]


@pytest.fixture
def nowhere() -> dict[str, str]:
    """Settings of a provider that has just gone away: its port listens no more."""
    with socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))
        port = gone.getsockname()[1]
    at = f"127.0.0.1:{port}"
    others = {"SMTP_URL": f"smtp://{at}", "WEBHOOK_SECRET": "of the contracts", "SYSTEM_URL": f"http://{at}"}
    return {**Keys(b"k").settings(f"http://{at}"), **others}


def people(n: int = 3) -> People:
    return People([f"p{i}@example.com" for i in range(n)], [f"c{i}" for i in range(n)], {"[t]": ["x"] * n})


def hand_over(connector: Connector, rows: list[int], system: str = "") -> list[Outcome]:
    channel = connector.capabilities.channel
    message: Shared = EMAIL if channel is Channel.EMAIL else SMS
    batch = people()
    if channel is Channel.WEBHOOK:
        message, batch = SharedCall(Sender(url=system)), People([""] * 3, batch.cids, {BODY: ["{}"] * 3})
    if connector.capabilities.channel is Channel.SMS:
        batch = People(["+4915112345678"] * 3, batch.cids, batch.values)

    async def go() -> list[Outcome]:
        parcel = connector.build(message, batch)
        assert len(parcel) == 3
        outcomes = list(await connector.hand_over(parcel, rows))
        await connector.close()
        return outcomes

    return asyncio.run(go())


def test_a_provider_that_is_away_defers_and_each_row_has_its_answer(make: Make, nowhere: dict[str, str]) -> None:
    """One outcome for all where a request is taken whole, else one a row; nothing raises, nothing is unsure."""
    connector = make(nowhere)
    outcomes = hand_over(connector, [0, 2], nowhere["SYSTEM_URL"])
    assert [type(outcome) for outcome in outcomes] == [Deferred] * (1 if connector.capabilities.whole else 2)


def test_a_message_of_another_channel_is_refused_when_it_is_built(make: Make, nowhere: dict[str, str]) -> None:
    """A plan that asks for it was wrong."""
    connector = make(nowhere)
    with pytest.raises(ValueError, match="only"):
        connector.build(SMS if connector.capabilities.channel is Channel.EMAIL else EMAIL, people())


def test_a_parcel_of_another_connector_is_a_mistake_of_ours(make: Make, nowhere: dict[str, str]) -> None:
    """It is not sent as something else."""
    connector = make(nowhere)
    with pytest.raises(TypeError, match="built no list"):
        asyncio.run(connector.hand_over([], [0]))


def test_a_connector_can_be_closed_without_having_sent(make: Make, nowhere: dict[str, str]) -> None:
    """And twice."""

    async def go(connector: Connector) -> None:
        await connector.close()
        await connector.close()

    asyncio.run(go(make(nowhere)))


@pytest.fixture(scope="module")
def settings() -> Iterator[dict[str, str]]:
    with start_sandbox(make_world(keys=Keys(b"contracts"))) as running:
        yield running.settings


@pytest.mark.parametrize("name", [name for name in MAKERS if name not in ("smtp", "webhook")])
def test_the_sandbox_takes_what_the_connectors_send(name: str, settings: dict[str, str]) -> None:
    """And gives each request an id."""
    outcomes = hand_over(MAKERS[name](settings), [0, 1, 2])
    assert {type(outcome) for outcome in outcomes} == {Accepted}
    refs = {outcome.provider_ref for outcome in outcomes if isinstance(outcome, Accepted)}
    assert len(refs) == len(outcomes)


@pytest.mark.parametrize(
    "url", ["https://api.sendgrid.com", "", "http://10.0.0.1:4260", "http://127.0.0.1.evil.example"]
)
def test_the_sandbox_never_reaches_a_real_account(url: str) -> None:
    """Whatever the settings say."""
    for channel in (Channel.EMAIL, Channel.SMS):
        with pytest.raises(ValueError, match="loopback"):
            sandbox(Keys(b"k").settings(url), channel)


def test_connectors_know_no_campaign_and_no_database() -> None:
    """They import the kernel's words, the protocol, feedback's words and each other; nothing else of ours."""
    allowed = ("carillon.kernel", "carillon.delivery.protocol", "carillon.feedback.model", "connectors")
    found = {
        (path.name, module)
        for path in CONNECTORS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for module in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [a.name for a in node.names]
            if isinstance(node, ast.Import)
            else []
        )
        if module.split(".")[0] in ("carillon", "flows", "connectors") and not module.startswith(allowed)
    }
    assert found == set()


def test_the_package_itself_imports_nothing() -> None:
    """`connectors/__init__.py` is a docstring."""
    tree = ast.parse((CONNECTORS / "__init__.py").read_text("utf-8"))
    assert len(tree.body) == 1
