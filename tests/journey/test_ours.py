"""`notify` and `webhook`: one of ours is told, once, and nothing of it counts as a message to the contact."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson
import pytest

from carillon.delivery.protocol import Accepted, Rejected, Unsure
from carillon.foresight.explain import explain
from carillon.foresight.outlook import outlook
from carillon.journey.ground import load_ground
from carillon.reports.build import build_report
from carillon.store import tables as t
from connectors.webhook.connector import make
from tests.shop import WORKSPACE, Shop

LEADS = """\
audience: everyone
entry: {at: 2026-12-01 09:00}
journey:
  - notify: hot_lead
    to: TO
  - email: hello
"""
MESSAGES = {
    "hot_lead.yaml": "subject: \"{{ contact.first_name | default: 'Somebody' }} wants a kitchen\"\n",
    "hot_lead.txt": "Call {{ contact.first_name | default: 'them' }}: https://crm.acme.example/{{ contact.id }}\n",
}
DATA = "contact: {tier: {one_of: [basic, silver, gold]}, points: number, store_manager: email}\n"
NOON, LATER = "2026-12-01 09:00", "2026-12-01 10:00"


def leads(shop: Shop, to: str, more: str = "") -> None:
    shop.write("data.yaml", DATA + "events:\n  order_completed: {order_id: word, total: money}\n")
    shop.campaign("leads", more + LEADS.replace("TO", to), MESSAGES)


def test_one_of_ours_is_told_once_with_the_contacts_values(any_shop: Shop) -> None:
    """No consent, suppression or address of the contact matters, and who has no consent still goes on."""
    shop = any_shop
    leads(shop, "sales@acme.example")
    shop.contact("ada", first_name="Ada")
    shop.contact("ben", first_name="Ben", consent=())
    shop.contact("cyd", first_name="Cyd", email=None, phone=None)
    shop.contact("dee", first_name="Dee", suppressed=True)
    shop.apply("leads")
    for _ in range(2):
        shop.run("leads", LATER if shop.mail.letters else NOON)
    told = [letter.text for letter in shop.mail.letters if letter.address == "sales@acme.example"]
    assert sorted(told) == [f"{name} wants a kitchen" for name in ("Ada", "Ben", "Cyd", "Dee")]
    assert shop.sends("notify.hot_lead") == dict.fromkeys(("ada", "ben", "cyd", "dee"), "accepted")
    assert [letter.address for letter in shop.mail.letters if letter.text == "Hello"] == []
    assert {n: s for n, s in shop.sends("email.hello").items() if s == "accepted"} == {"ada": "accepted"}


def test_a_field_names_the_mailbox_and_who_has_none_is_skipped(any_shop: Shop) -> None:
    """`default:` is for those whose field is empty."""
    shop = any_shop
    leads(shop, '"{{ contact.store_manager }}"')
    shop.contact("ada", first_name="Ada", store_manager="kim@acme.example")
    shop.contact("ben", first_name="Ben")
    shop.apply("leads")
    shop.run("leads", NOON)
    assert shop.sends("notify.hot_lead") == {"ada": "accepted", "ben": "skipped:no_address"}
    assert [one.address for one in shop.mail.letters if "kitchen" in one.text] == ["kim@acme.example"]
    leads(shop, "\"{{ contact.store_manager | default: 'desk@acme.example' }}\"")
    draft = shop.draft("leads")
    (content,) = [c for (_, _, channel, _), c in draft.contents.compiled.items() if channel == "notify"]
    assert (content.to, content.to_path) == ("desk@acme.example", "contact.store_manager")


def test_held_people_go_by_and_are_compared_at_their_first_message(any_shop: Shop) -> None:
    """A notification is no exposure: the ghost stands at the e-mail behind it."""
    shop = any_shop
    leads(shop, "sales@acme.example", "holdout: 50%\n")
    names = shop.people(40)
    shop.apply("leads")
    shop.run("leads", NOON)
    shop.run("leads", LATER)
    told = {name for name, state in shop.sends("notify.hot_lead").items() if state == "accepted"}
    spared = {name for name, state in shop.sends("notify.hot_lead").items() if state == "skipped:holdout"}
    ghosts = {name for name, state in shop.sends("email.hello").items() if state == "ghost"}
    assert told | spared == set(names)
    assert spared == ghosts
    assert 5 < len(spared) < 35
    assert set(shop.inbox) - {"sales@acme.example"} == told


def test_the_mail_has_no_pixel_no_tracked_link_and_no_id_that_a_report_is_read_by(any_shop: Shop) -> None:
    """Whoever opens or clicks it is not the contact."""
    shop = any_shop
    leads(shop, "sales@acme.example")
    shop.write("leads/messages/hot_lead.html", '<p>Call</p><a href="https://crm.acme.example/">CRM</a>')
    contents = shop.draft("leads").contents.compiled
    assert {language for _, _, channel, language in contents if channel == "notify"} == {"en"}
    content = contents["notify.hot_lead", "", "notify", "en"]
    assert "/o/" not in content.html
    assert 'href="https://crm.acme.example/"' in content.html
    assert content.links == ()
    shop.contact("ada", first_name="Ada")
    shop.apply("leads")
    shop.run("leads", NOON)
    assert [one.cid[:5] for one in shop.mail.letters if "kitchen" in one.text] == ["note-"]


def test_neither_caps_nor_reports_count_it(any_shop: Shop) -> None:
    """A full cap holds the e-mail back, not the mail to one of ours, which takes no place of it."""
    shop = any_shop
    shop.workspace("limits: {caps: [{channel: any, max: 1, per: 7d, when_full: skip}]}\ncosts: {email: 0.1}\n")
    leads(shop, "sales@acme.example")
    shop.contact("ada", first_name="Ada")
    shop.apply("leads")
    shop.run("leads", NOON)
    shop.run("leads", LATER)
    assert shop.sends("email.hello") == {"ada": "accepted"}
    with shop.store.read() as connection:
        report = build_report(connection, load_ground(shop.store, "leads", shop.clock.now()))
    assert report.totals.sent == 1
    assert report.money.cost == 10
    assert {step.step_id: step.totals.sent for step in report.steps} == {"notify.hot_lead": 1, "email.hello": 1}


def test_plan_and_explain_say_what_the_run_does(any_shop: Shop) -> None:
    """The same Selects: who has no mailbox is counted before anything is applied, and told afterwards."""
    shop = any_shop
    leads(shop, '"{{ contact.store_manager }}"')
    shop.contact("ada", first_name="Ada", store_manager="kim@acme.example")
    shop.contact("ben", first_name="Ben")
    shop.apply("leads")
    ground = load_ground(shop.store, "leads", shop.clock.now())
    with shop.store.read() as connection:
        told = outlook(connection, ground, shop.draft("leads").contents)
        why = dict(explain(connection, ground, "ben").messages)
    first = told.first_messages[0]
    assert (first.step_id, first.gets, dict(first.skipped)) == ("notify.hot_lead", 1, {"no_address": 1})
    assert why == {"notify.hot_lead": "no_address", "email.hello": "would get it"}


# ------------------------------------------------------------------------------------------------------- webhooks


@dataclass
class Desk:
    """A system of ours on loopback: it keeps what it is told and answers as it is told."""

    status: int = 200
    calls: list[tuple[dict[str, str], dict[str, object]]] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def desk() -> Iterator[Desk]:
    told = Desk()

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.calls.append((dict(self.headers), orjson.loads(body)))
            self.send_response(told.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    told.url = f"http://127.0.0.1:{server.server_port}/cases"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield told
    server.shutdown()
    server.server_close()
    thread.join()


CASES = """\
entry: {event: order_completed, once_per: order_id}
journey:
  - webhook: desk
    only_if: {contact: {tier: gold}}
  - email: hello
"""


def cases(shop: Shop, desk: Desk) -> None:
    line = f"  webhook:\n    desk: {{connector: webhook, url: '{desk.url}', fields: [first_name, tier]}}\n"
    shop.write("workspace.yaml", WORKSPACE.replace("topics:\n", line + "topics:\n"))
    shop.campaign("cases", CASES)


def run(shop: Shop, at: str | None = None) -> None:
    posts = {post.name: post for post in (shop.mail, shop.texts)}
    shop.run("cases", at, connectors=lambda: {**posts, "webhook": make({"WEBHOOK_SECRET": "of the tests, quite long"})})


def test_a_system_of_ours_is_called_once_with_contact_trigger_and_key(any_shop: Shop, desk: Desk) -> None:
    """Money is exact, names are data whatever they spell, and who fails `only_if` is skipped and goes on."""
    shop = any_shop
    cases(shop, desk)
    shop.contact("ada", first_name='A"}, "da', tier="gold", consent=())
    shop.contact("ben", first_name="Ben", tier="basic")
    shop.apply("cases")
    shop.at("2026-11-02 13:00")
    shop.order("ada", "49.90", order_id="o1")
    shop.order("ben", "5", order_id="o2")
    run(shop, "2026-11-02 13:05")
    run(shop, "2026-11-02 13:10")
    ((headers, body),) = desk.calls
    assert body == {
        "campaign": "cases", "step": "webhook.desk", "key": headers["Idempotency-Key"],
        "contact": {"id": "ada", "first_name": 'A"}, "da', "tier": "gold"},
        "trigger": {"order_id": "o1", "total": "49.90"},
    }  # fmt: skip
    assert shop.sends("webhook.desk") == {"ada": "accepted", "ben": "skipped:only_if"}
    assert shop.inbox == ["ben"]


@pytest.mark.parametrize(("status", "state"), [(422, "rejected"), (500, "unsure"), (204, "accepted")])
def test_what_a_system_answers_is_one_persons_and_the_journey_goes_on(
    shop: Shop, desk: Desk, status: int, state: str
) -> None:
    """A refusal holds nobody else's call; what may have been taken is never posted twice."""
    cases(shop, desk)
    desk.status = status
    shop.contact("ada", first_name="Ada", tier="gold")
    shop.apply("cases")
    shop.at("2026-11-02 13:00")
    shop.order("ada", order_id="o1")
    run(shop, "2026-11-02 13:05")
    run(shop, "2026-11-02 13:10")
    assert shop.sends("webhook.desk") == {"ada": state}
    assert len(desk.calls) == 1
    assert shop.inbox == ["ada"]
    assert shop.violations() == []


def test_a_system_that_is_busy_is_called_again(shop: Shop, desk: Desk) -> None:
    """503 says that nothing was taken: the same call with the same key follows."""
    cases(shop, desk)
    desk.status = 503
    shop.contact("ada", first_name="Ada", tier="gold")
    shop.apply("cases")
    shop.at("2026-11-02 13:00")
    shop.order("ada", order_id="o1")
    run(shop, "2026-11-02 13:05")
    assert shop.sends("webhook.desk") == {"ada": "ready"}
    assert desk.calls
    assert shop.inbox == []


def test_an_unsure_mail_to_one_of_ours_waits_for_a_person(shop: Shop) -> None:
    """No report speaks of it, so nothing settles it by itself; the contact goes on."""
    leads(shop, "sales@acme.example")
    shop.contact("ada", first_name="Ada")
    shop.mail.answer = lambda one: Unsure("lost") if "kitchen" in one.text else Accepted("ref")
    shop.apply("leads")
    shop.run("leads", NOON)
    shop.run("leads", LATER)
    assert shop.sends("notify.hot_lead") == {"ada": "unsure"}
    assert shop.inbox[-1] == "ada"


def test_a_dead_mailbox_of_ours_suppresses_no_contact(shop: Shop) -> None:
    """The refusal is the mailbox's, not the contact's, who gets the e-mail behind it."""
    leads(shop, "sales@acme.example")
    shop.contact("ada", first_name="Ada")
    dead = Rejected("550 no such user", "550", invalid_address=True)
    shop.mail.answer = lambda one: dead if "kitchen" in one.text else Accepted("ref")
    shop.mail.whole = False
    shop.apply("leads")
    shop.run("leads", NOON)
    shop.run("leads", LATER)
    assert shop.sends("notify.hot_lead") == {"ada": "rejected"}
    assert shop.inbox[-1] == "ada"
    assert shop.count(t.suppression) == 0
