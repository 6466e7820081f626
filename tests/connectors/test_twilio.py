"""Twilio's connector against the sandbox, the vendor's specification and the vendor's SDK."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from misbehaving import server

from carillon.delivery.protocol import Accepted, Deferred, Held, Outcome, People, Rejected, Sender, SharedSms, Unsure
from carillon.sandbox.server import Running
from carillon.sandbox.world import Fault
from connectors.twilio import connector as twilio

SPEC = Path(__file__).parents[2] / ".." / "shared" / "data" / "specs" / "twilio" / "twilio_api_v2010.json"

SERVICE = Sender(messaging_service="MG" + "0" * 32)
SMS = SharedSms(
    SERVICE, "[[0]], 20 % off + more: https://t.acme.example/s/[[1]]", "https://t.acme.example/webhooks/twilio"
)
ADA = People(["+15005550010"], ["c/1+2"], {"[[0]]": ["Ada & Bob"], "[[1]]": ["x1"]})
ACCOUNT = {"TWILIO_ACCOUNT_SID": "AC" + "0" * 32, "TWILIO_AUTH_TOKEN": "t"}


def form(sms: SharedSms = SMS, batch: People = ADA, valid_for_s: int | None = None) -> dict[str, list[str]]:
    return parse_qs(twilio.make(ACCOUNT).build(sms, batch, valid_for_s).forms[0])


def hand_over(settings: dict[str, str], batch: People, sms: SharedSms = SMS) -> list[Outcome]:
    async def go() -> list[Outcome]:
        one = twilio.make(settings)
        try:
            return list(await one.hand_over(one.build(sms, batch), range(len(batch))))
        finally:
            await one.close()

    return asyncio.run(go())


def to(*numbers: str) -> People:
    n = len(numbers)
    return People(list(numbers), [f"c{i}" for i in range(n)], {"[[0]]": ["Ada"] * n, "[[1]]": ["x"] * n})


def test_an_sms_is_one_form_with_its_text_filled_and_its_cid_in_the_callback() -> None:
    """The cid stands before the fragment that asks for retries, quoted."""
    assert form(valid_for_s=7_200) == {
        "To": ["+15005550010"],
        "MessagingServiceSid": ["MG" + "0" * 32],
        "ValidityPeriod": ["7200"],
        "Body": ["Ada & Bob, 20 % off + more: https://t.acme.example/s/x1"],
        "StatusCallback": ["https://t.acme.example/webhooks/twilio?cid=c%2F1%2B2#rc=3&rp=all"],
    }


@pytest.mark.parametrize(("asked", "said"), [(0, "1"), (-5, "1"), (36_001, "36000"), (600, "600")])
def test_validity_stays_within_what_twilio_takes(asked: int, said: str) -> None:
    """Between one second and ten hours."""
    assert form(valid_for_s=asked)["ValidityPeriod"] == [said]


def test_a_number_is_a_sender_too_and_nobody_is_none() -> None:
    """`From` instead of a messaging service; without both the plan was wrong."""
    assert form(SharedSms(Sender(address="+15005550006"), "Hi"), to("+4915112345678"))["From"] == ["+15005550006"]
    with pytest.raises(ValueError, match="needs a sender"):
        form(SharedSms(Sender(), "Hi"), to("+4915112345678"))


@pytest.mark.skipif(not SPEC.exists(), reason="Twilio's specification is not here")
def test_the_form_obeys_the_vendors_specification() -> None:
    """Every parameter is one of Twilio's and fits its schema; `x-twilio.conditional` is fulfilled."""
    import jsonschema_rs

    spec = json.loads(SPEC.read_text("utf-8"))
    create = spec["paths"]["/2010-04-01/Accounts/{AccountSid}/Messages.json"]["post"]
    schema = create["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    sent: dict[str, object] = {name: values[0] for name, values in form(valid_for_s=60).items()}
    assert set(sent) <= set(schema["properties"])
    sent["ValidityPeriod"] = int(str(sent["ValidityPeriod"]))
    validator = jsonschema_rs.Draft202012Validator({**schema, "components": spec["components"]})
    assert [str(fault) for fault in validator.iter_errors(sent)] == []
    given = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() for name in sent}
    assert [group for group in create["x-twilio"]["conditional"] if not given & set(group)] == []


def test_each_person_gets_an_outcome_of_their_own(sandbox: Running) -> None:
    """Twilio's own magic numbers, in the order of the rows."""
    numbers = ("+15005550010", "+15005550001", "+15005550004", "+15005550009", "+15005550003", "+4915112345678")
    outcomes = hand_over(sandbox.settings, to(*numbers))
    kinds = [
        (
            type(o),
            getattr(o, "code", getattr(o, "because", "")),
            getattr(o, "invalid_address", None),
            getattr(o, "suppressed", None),
        )
        for o in outcomes
    ]
    assert kinds == [
        (Accepted, "", None, None),
        (Rejected, "21211", True, False),
        (Rejected, "21610", False, True),
        (Rejected, "21614", True, False),
        (Deferred, "person", None, None),  # 21408: the country is not enabled yet
        (Accepted, "", None, None),
    ]
    assert isinstance(outcomes[0], Accepted)
    assert outcomes[0].provider_ref.startswith("SM")
    assert len(outcomes[0].provider_ref) == 34


def test_a_full_queue_defers_and_a_wrong_sender_or_key_holds(sandbox: Running) -> None:
    """By the code where Twilio gives one, else by the status."""
    full, foreign = (SharedSms(Sender(address=number), "Hi") for number in ("+15005550008", "+15005550007"))
    assert isinstance(hand_over(sandbox.settings, to("+15005550010"), full)[0], Deferred)
    assert isinstance(hand_over(sandbox.settings, to("+15005550010"), foreign)[0], Held)
    wrong = hand_over({**sandbox.settings, "TWILIO_AUTH_TOKEN": "wrong"}, to("+15005550010"))
    assert wrong == [Held("20003 Authenticate")]


def test_one_text_too_long_is_rejected_alone(sandbox: Running) -> None:
    """The others of its batch go, and nothing is asked of Twilio for it."""
    batch = People(["+15005550010"] * 2, ["a", "b"], {"[[0]]": ["x" * 1_601, "Ada"], "[[1]]": ["", ""]})
    outcomes = hand_over(sandbox.settings, batch)
    assert outcomes[0] == Rejected("longer than 1600 characters", "21617")
    assert isinstance(outcomes[1], Accepted)


def test_a_server_error_is_unsure_and_a_429_is_not(sandbox: Running) -> None:
    """20500: "it is possible for a customer to receive multiple messages"; 20429: "never processed"."""
    sandbox.fail_next(Fault(500, stored=True))
    assert hand_over(sandbox.settings, to("+15005550010")) == [Unsure("500 Internal Server Error")]

    async def go() -> list[Outcome]:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            said = b'{"code":20429,"message":"Too Many Requests","status":429}'
            writer.write(b"HTTP/1.1 429 Too Many\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
            await writer.drain()

        async with server(script) as port:
            one = twilio.make({**ACCOUNT, "TWILIO_BASE_URL": f"http://127.0.0.1:{port}"})
            outcomes = list(await one.hand_over(one.build(SMS, ADA), [0]))
            await one.close()
            return outcomes

    assert asyncio.run(go()) == [Deferred("20429 Too Many Requests")]


def test_missing_settings_are_all_named() -> None:
    """Both at once."""
    with pytest.raises(ValueError, match="TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN not set"):
        twilio.make({})


def test_the_vendors_sdk_talks_to_the_sandbox(sandbox: Running) -> None:
    """Create, fetch and a refusal, through the SDK with its host swapped."""
    from twilio.base.exceptions import TwilioRestException
    from twilio.http.http_client import TwilioHttpClient
    from twilio.rest import Client

    class Loopback(TwilioHttpClient):
        def request(self, method: str, url: str, *args: object, **options: object) -> object:
            return super().request(method, url.replace("https://api.twilio.com", sandbox.url), *args, **options)

    client = Client(sandbox.keys.account_sid, sandbox.keys.auth_token, http_client=Loopback())
    made = client.messages.create(to="+15005550010", from_="+15005550006", body="Hello €")
    shown = client.messages(made.sid).fetch()
    assert (shown.body, shown.status, shown.num_segments, shown.to) == ("Hello €", "queued", "1", "+15005550010")
    with pytest.raises(TwilioRestException) as refused:
        client.messages.create(to="+15005550001", from_="+15005550006", body="Hello")
    assert (refused.value.status, refused.value.code) == (400, 21211)
