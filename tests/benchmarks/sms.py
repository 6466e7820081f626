"""SMS from the segment query to the settled ledger, in one process, against a loop around Twilio's SDK."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from carillon.store import tables as t
from connectors.twilio import connector as twilio
from tests.benchmarks.figures import Figure
from tests.benchmarks.ground import Ground, watch
from tests.benchmarks.one_by_one import TwilioSink, advanced_over, person, shop_of, sink_of

CAMPAIGN = """\
topic: offers
audience: {reachable: sms}
entry: {at: 2026-11-02 12:00}
journey: [{sms: text}]
"""
TEXT = "{{ contact.first_name }}, {{ contact.picks[0].name }} is back in {{ contact.city }}: STOP ends this"


def sms(ground: Ground) -> Iterable[Figure]:
    people = ground.size(20_000)
    with sink_of(TwilioSink) as (address, sink):
        shop = shop_of(ground, people, CAMPAIGN, {"text.sms.txt": TEXT})
        settings = {"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "x", "TWILIO_BASE_URL": f"http://{address}"}
        with watch(sink) as spent:
            advanced = advanced_over(shop, lambda: {"twilio": twilio.make(settings)})
        assert advanced.work.people == {"accepted": people}, advanced.work
        with shop.store.read() as connection:
            receipts, cost = connection.execute(
                sa.select(
                    sa.func.count(), sa.select(sa.func.sum(t.spent.c.amount_micro)).scalar_subquery()
                ).select_from(t.receipt)
            ).one()
        assert (receipts, cost) == (people, people * 40_000), (receipts, cost)
        naive = _naive(address, ground.size(2_000))
        yield Figure(
            "SMS end to end", people / spent.wall, "sms/s", "more", 1_500, 5_000,
            f"loop around the Twilio SDK, {naive:,.0f}/s", people / spent.wall / naive, 2, spent.spread(people),
        )  # fmt: skip


class _ToSink(TwilioHttpClient):
    """The SDK's own client with its kept connections, only that the host is ours."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self._address = address

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        return super().request(
            method, url.replace("https://api.twilio.com", f"http://{self._address}"), *args, **kwargs
        )


def _naive(address: str, people: int) -> float:
    client = Client("AC1", "x", http_client=_ToSink(address))
    with watch() as spent:
        for number in range(people):
            row = person(number)
            text = f"{row.attrs['first_name']}, {row.attrs['picks'][0]['name']} is back in {row.attrs['city']}: STOP ends this"
            client.messages.create(to=row.phone, messaging_service_sid="MG1", body=text, validity_period=600)
    return people / spent.wall
