"""SendGrid's connector against the sandbox, the vendor's specification and the vendor's SDK."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import orjson
import pytest
from misbehaving import server

from carillon.delivery.protocol import Accepted, Deferred, Divide, Held, People, Rejected, Sender, SharedEmail, Unsure
from carillon.kernel.clock import SECOND, VirtualClock
from carillon.sandbox.server import Running
from carillon.sandbox.world import Fault
from connectors.sendgrid import connector as sendgrid

SPEC = Path(__file__).parents[2] / ".." / "shared" / "data" / "specs" / "sendgrid" / "tsg_mail_v3.json"

MAIL = SharedEmail(
    sender=Sender(address="hello@acme.example", name="Acme, Shop; GmbH", reply_to="Help <help@acme.example>"),
    subject="[[0]], spring is here",
    html="<p>Hello [[0]]</p>",
    text="Hello [[0]]",
    headers={"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
    categories=("spring_sale", "spring_sale/email.sale"),
)


def people(n: int, first: str = "Ada") -> People:
    return People(
        addresses=[f"p{i}@example.com" for i in range(n)],
        cids=[f"cid{i}" for i in range(n)],
        values={"[[0]]": [first] * n},
        headers={"List-Unsubscribe": [f"<https://t.acme.example/u/{i}>" for i in range(n)]},
    )


def hand_over(settings: dict[str, str], batch: People, mail: SharedEmail = MAIL, rows: object = None) -> object:
    async def go() -> object:
        one = sendgrid.make(settings, clock=VirtualClock(1_000 * SECOND))
        try:
            return await one.hand_over(one.build(mail, batch), rows or range(len(batch)))  # type: ignore[arg-type]
        finally:
            await one.close()

    return asyncio.run(go())


def body(batch: People, mail: SharedEmail = MAIL, rows: object = None) -> dict[str, object]:
    one = sendgrid.make({"SENDGRID_API_KEY": "k"})
    return orjson.loads(one.build(mail, batch).body(rows or range(len(batch))))  # type: ignore[arg-type, no-any-return]


def test_a_batch_is_one_request_with_the_shared_part_once() -> None:
    """Exactly this is posted for one person."""
    assert body(people(1)) == {
        "personalizations": [
            {
                "to": [{"email": "p0@example.com"}],
                "custom_args": {"cid": "cid0"},
                "substitutions": {"[[0]]": "Ada"},
                "headers": {"List-Unsubscribe": "<https://t.acme.example/u/0>"},
            }
        ],
        "from": {"email": "hello@acme.example", "name": "Acme, Shop; GmbH"},
        "reply_to": {"email": "help@acme.example", "name": "Help"},
        "subject": "[[0]], spring is here",
        "content": [
            {"type": "text/plain", "value": "Hello [[0]]"},
            {"type": "text/html", "value": "<p>Hello [[0]]</p>"},
        ],
        "headers": {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
        "categories": ["spring_sale", "spring_sale/email.sale"],
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": {"enable": False},
            "subscription_tracking": {"enable": False},
        },
    }


def test_rows_that_were_dropped_are_not_in_the_request() -> None:
    """Between claim and first byte people are only cut out."""
    sent = body(people(5), rows=[0, 3])
    assert [p["custom_args"]["cid"] for p in sent["personalizations"]] == ["cid0", "cid3"]  # type: ignore[attr-defined]


@pytest.mark.skipif(not SPEC.exists(), reason="SendGrid's specification is not here")
def test_a_full_request_obeys_the_vendors_specification() -> None:
    """1,000 people, against SendGrid's OpenAPI file with its known fault mended: custom_args is an object."""
    import jsonschema_rs

    spec = json.loads(SPEC.read_text("utf-8"))
    schema = spec["components"]["requestBodies"]["PostMailSend"]["content"]["application/json"]["schema"]
    schema["properties"]["custom_args"] = {"type": "object", "additionalProperties": {"type": "string"}}
    validator = jsonschema_rs.Draft202012Validator({**schema, "components": spec["components"]})
    assert [str(fault) for fault in validator.iter_errors(body(people(1000)))] == []
    broken = {**body(people(1)), "categories": "spring_sale"}
    assert len(list(validator.iter_errors(broken))) == 1


def test_the_vendors_sdk_would_send_the_same_personalizations() -> None:
    """The helper reverses them, so they are compared by address."""
    from sendgrid.helpers.mail import CustomArg, Header, Mail, Personalization, Substitution, To

    mail = Mail()
    for i in range(3):
        person = Personalization()
        person.add_to(To(f"p{i}@example.com"))
        person.add_custom_arg(CustomArg("cid", f"cid{i}"))
        person.add_substitution(Substitution("[[0]]", "Ada"))
        person.add_header(Header("List-Unsubscribe", f"<https://t.acme.example/u/{i}>"))
        mail.add_personalization(person)

    def by_address(found: list[dict[str, object]]) -> list[dict[str, object]]:
        return sorted(found, key=lambda p: str(p["to"]))

    assert by_address(body(people(3))["personalizations"]) == by_address(mail.get()["personalizations"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mail", "batch", "said"),
    [
        (MAIL, people(1001), "1001 people"),
        (SharedEmail(MAIL.sender, "s", "<p>", "", categories=tuple(map(str, range(11)))), people(1), "10 categories"),
        (SharedEmail(Sender(address="jörg@acme.example"), "s", "<p>", ""), people(1), "ASCII"),
        (SharedEmail(MAIL.sender, "s", "", ""), people(1), "text or an HTML part"),
        (SharedEmail(MAIL.sender, "", "<p>", ""), people(1), "subject"),
        (SharedEmail(MAIL.sender, "s", "<p>", "", {"Reply-To": "x"}), people(1), "Reply-To"),
        (MAIL, people(1, "x" * 10_001), "bytes of values for one person"),
    ],
)
def test_what_sendgrid_never_takes_is_refused_when_it_is_built(mail: SharedEmail, batch: People, said: str) -> None:
    """Before anything is claimed."""
    with pytest.raises(ValueError, match=said):
        body(batch, mail)


def test_a_missing_key_says_where_to_get_one() -> None:
    """The setting is named."""
    with pytest.raises(ValueError, match="SENDGRID_API_KEY is not set"):
        sendgrid.make({})


def test_an_accepted_batch_bears_the_message_id_of_the_answer(sandbox: Running) -> None:
    """1,000 people, one outcome."""
    [accepted] = hand_over(sandbox.settings, people(1000))  # type: ignore[misc]
    assert isinstance(accepted, Accepted)
    assert len(accepted.provider_ref) == 22


def test_refusals_of_the_api_become_outcomes(sandbox: Running) -> None:
    """A bad address among two divides, alone is rejected; a bad key holds the connector."""
    bad = People(addresses=["p@example.com", "no address"], cids=["a", "b"])
    plain = SharedEmail(MAIL.sender, "s", "<p>x</p>", "")
    said = "400 personalizations.1.to.0.email: Does not contain a valid address."
    assert hand_over(sandbox.settings, bad, plain) == (Divide(said),)
    assert hand_over(sandbox.settings, bad, plain, [1]) == (Rejected(said.replace("s.1", "s.0"), "400"),)
    [held] = hand_over({**sandbox.settings, "SENDGRID_API_KEY": "wrong"}, people(1))  # type: ignore[misc]
    assert held == Held("401 The provided authorization grant is invalid, expired, or revoked")


def test_a_server_error_is_unsure_even_where_nothing_left(sandbox: Running) -> None:
    """500 with and without the mail taken look the same from here."""
    sandbox.fail_next(Fault(500), Fault(503, stored=True))
    outcomes = [hand_over(sandbox.settings, people(1)) for _ in range(2)]
    assert outcomes == [(Unsure("500 Internal Server Error"),), (Unsure("503 Service Unavailable"),)]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (
            (
                b"HTTP/1.1 429 Too Many\r\nX-RateLimit-Reset: 1009\r\nContent-Length: 45\r\n\r\n"
                b'{"errors":[{"message":"too many requests"}]} '
            ),
            Deferred("429 too many requests", 9.0),
        ),
        (
            b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 6\r\n\r\n<html>",
            Divide("413 Request Entity Too Large"),
        ),
        (b"HTTP/1.1 200 OK\r\nX-Message-Id: m\r\nContent-Length: 0\r\n\r\n", Accepted("m")),
    ],
)
def test_answers_that_the_api_gives_rarely(answer: bytes, outcome: object) -> None:
    """The rate limit says when (unix seconds; the clock stands at 1,000); nginx answers in HTML."""

    async def go() -> object:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()

        async with server(script) as port:
            settings = {"SENDGRID_API_KEY": "k", "SENDGRID_BASE_URL": f"http://127.0.0.1:{port}"}
            one = sendgrid.make(settings, clock=VirtualClock(1_000 * SECOND))
            outcomes = await one.hand_over(one.build(MAIL, people(2)), [0, 1])
            await one.close()
            return outcomes

    assert asyncio.run(go()) == (outcome,)


def test_the_vendors_sdk_talks_to_the_sandbox(sandbox: Running) -> None:
    """What real clients send is taken, what is no mail is refused in SendGrid's shape."""
    from python_http_client.exceptions import BadRequestsError
    from sendgrid import SendGridAPIClient
    from sendgrid.helpers.mail import Mail

    client = SendGridAPIClient(sandbox.keys.api_key, host=sandbox.url)
    answer = client.send(Mail("hello@acme.example", "ada@example.com", "Hello", "plain", "<p>html</p>"))
    assert (answer.status_code, len(answer.headers["X-Message-Id"])) == (202, 22)
    with pytest.raises(BadRequestsError) as refused:
        client.send(Mail("hello@acme.example", "ada@example.com", "Hello"))
    assert refused.value.to_dict["errors"][0]["field"] == "content"
