from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from carillon.definition.model import Data, Field
from carillon.feedback.model import WebhookRequest, WebhookSource
from carillon.kernel.clock import SECOND, VirtualClock
from carillon.web.app import WebApp, make_app
from connectors.sendgrid import webhook as sendgrid
from connectors.twilio import webhook as twilio
from tests.feedback.ground import KEYS, NOON, PERSON, RULES, Ground, lay_ground
from tests.serving import serving
from tests.shop import any_shop as any_shop
from tests.shop import shop as shop

TWILIO_TOKEN = "a token of the tests"
DATA = Data(
    contact={
        "id": Field("word", "word"), "email": Field("email", "email"), "phone": Field("phone", "phone"), "first_name": Field("word", "word"),
        "country": Field("country", "country"), "language": Field("language", "language"), "created_at": Field("instant", "instant"),
        "tier": Field("word", "word"),
    },
    events={"order_completed": {"order_id": Field("word", "word"), "total": Field("money", "money")}},
)  # fmt: skip


@dataclass
class Web:
    """A running server over a small shop under way, and a browser that does not follow redirects."""

    ground: Ground
    app: WebApp
    url: str
    clock: VirtualClock
    private_key: ec.EllipticCurvePrivateKey
    browser: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.browser = httpx.Client(base_url=self.url, headers={"user-agent": PERSON}, timeout=20)


def sources(private_key: ec.EllipticCurvePrivateKey) -> list[WebhookSource]:
    raw = private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    public_key = base64.b64encode(raw).decode()

    def query(request: WebhookRequest) -> str:
        return request.url.partition("?")[2]

    def from_twilio(request: WebhookRequest) -> bool:
        return twilio.verify(request.body, request.headers, TWILIO_TOKEN, request.url)

    return [
        WebhookSource(
            "sendgrid",
            lambda r: sendgrid.verify(r.body, r.headers, public_key),
            lambda r, at: sendgrid.parse(r.body, at),
        ),
        WebhookSource("twilio/status", from_twilio, lambda r, at: twilio.parse(r.body, query(r), at)),
        WebhookSource(
            "twilio/inbound", from_twilio, lambda r, at: twilio.parse(r.body, query(r), at), "<Response/>", "text/xml"
        ),
    ]


@pytest.fixture
def web(request: pytest.FixtureRequest) -> Iterator[Web]:
    ground = lay_ground(request.getfixturevalue("sqlite_store"))
    clock, key = VirtualClock(NOON + 600 * SECOND), ec.generate_private_key(ec.SECP256R1())
    app = make_app(
        ground.store, KEYS, sources(key), rules=lambda: RULES, data=lambda: DATA, write_keys=["wk"], clock=clock
    )
    with serving(app) as url:
        running = Web(ground, app, url, clock, key)
        yield running
        running.browser.close()
