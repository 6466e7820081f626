"""What doctor finds, against real servers on loopback: the sandbox's providers, a relay, our own web."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import sqlalchemy as sa
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from click.testing import CliRunner

from carillon.assembly import account_of
from carillon.cli.doctor import doctor
from carillon.cli.prefect_side import free_port
from carillon.delivery.holds import hold
from carillon.kernel.clock import DAY, HOUR, SystemClock
from carillon.operating.check import Check
from carillon.operating.check_outside import (
    check_public,
    check_secret,
    check_senders,
    check_versions,
)
from carillon.operating.check_prefect import check_prefect
from carillon.operating.check_store import check_files, check_layout, check_standing, check_zones
from carillon.operating.silence import PATIENCE, is_to_be_told, silence
from carillon.plan.applied import load_rules
from carillon.plan.rules import Rules, SenderRule
from carillon.sandbox.keys import Keys
from carillon.sandbox.server import Running, make_world, start_sandbox
from carillon.settings import Settings
from carillon.store import tables as t
from tests.sandbox.receiver import receiving
from tests.shop import Shop

NEWS = "title: News\naudience: {reachable: email}\nentry: {every: day, at: 10:00}\njourney: [{email: hello}]\n"
REPORTING = frozenset({"sandbox.email"})


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Running]:
    with start_sandbox(make_world(keys=Keys(b"tests"))) as running:
        yield running


def settings(folder: Path, environ: Mapping[str, str] | None = None) -> Settings:
    return Settings(folder, folder / "campaigns", "", None, dict(environ or {}))


def rules_of(shop: Shop, *connectors: str) -> Rules:
    shop.campaign("news", NEWS)
    shop.apply()
    with shop.store.read() as connection:
        rules = load_rules(connection)
    return replace(rules, senders=tuple(SenderRule(c, "email", c) for c in connectors)) if connectors else rules


def levels(checks: Iterator[Check]) -> dict[str, str]:
    return {check.subject: check.level for check in checks}


@pytest.mark.parametrize("name", ["sandbox.email", "sandbox.sms"])
def test_the_providers_are_asked_without_sending(sandbox: Running, tmp_path: Path, name: str):
    """GET /v3/scopes and GET Accounts/{sid}.json, with the provider's own clock."""
    account = account_of(name, settings(tmp_path), sandbox.settings)
    assert account.is_good
    assert account.date.endswith("GMT")


@pytest.mark.parametrize("name, key", [("sendgrid", "SENDGRID_API_KEY"), ("twilio", "TWILIO_AUTH_TOKEN")])
def test_a_revoked_key_is_bad_and_says_where_a_new_one_is_made(sandbox: Running, tmp_path: Path, name: str, key: str):
    account = account_of(name, settings(tmp_path, {**sandbox.settings, key: "revoked"}), None)
    assert (account.is_good, "refuses" in account.says) == (False, True)
    assert key in account.do


def test_a_provider_that_does_not_answer_is_bad(tmp_path: Path):
    """Nobody listens at port 9 of loopback."""
    environ = {"SENDGRID_API_KEY": "SG.x", "SENDGRID_BASE_URL": "http://127.0.0.1:9"}
    assert not account_of("sendgrid", settings(tmp_path, environ), None).is_good


class _Relay:
    def __call__(
        self, server: object, session: object, envelope: object, mechanism: str, auth_data: object
    ) -> AuthResult:
        return AuthResult(success=getattr(auth_data, "password", b"") == b"right", handled=False)


@pytest.fixture(scope="module")
def relay() -> Iterator[int]:
    controller = Controller(
        object(),
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=_Relay(),
        auth_require_tls=False,
        auth_required=True,
    )
    controller.start()
    yield controller.port
    controller.stop()


@pytest.mark.parametrize("password, is_good", [("right", True), ("wrong", False)])
def test_a_relay_is_asked_by_ehlo_and_auth(relay: int, tmp_path: Path, password: str, is_good: bool):
    account = account_of("smtp", settings(tmp_path, {"SMTP_URL": f"smtp://me:{password}@127.0.0.1:{relay}"}), None)
    assert account.is_good is is_good, account.says


def test_a_sandbox_that_does_not_run_is_no_fault(shop: Shop, tmp_path: Path):
    rules = rules_of(shop)
    assert levels(check_senders(settings(tmp_path), rules, None)) == {"sandbox.email": "warn", "sandbox.sms": "warn"}


def test_a_key_made_here_is_refused_with_a_real_sender(shop: Shop, tmp_path: Path):
    """Links in mails that have left would die with the folder."""
    assert check_secret(settings(tmp_path), rules_of(shop)).level == "ok"
    assert check_secret(settings(tmp_path), rules_of(shop, "sendgrid")).level == "bad"
    named = settings(tmp_path, {"CARILLON_SECRET_KEY": "0123456789abcdef0123"})
    assert check_secret(named, rules_of(shop, "sendgrid")).says == "configured"


def test_the_public_address_must_answer_as_ours_and_webhooks_need_their_key(shop: Shop, tmp_path: Path):
    """Some other web server at the address is as bad as none, once a real provider reports there."""
    with receiving() as other:
        rules = replace(rules_of(shop, "sendgrid"), public_url=other.url)
        assert levels(check_public(settings(tmp_path), rules)) == {"public_url": "bad", "webhook key": "bad"}
        assert levels(check_public(settings(tmp_path), replace(rules_of(shop), public_url=other.url))) == {
            "public_url": "warn"
        }


def test_what_is_installed_here_is_what_we_were_made_for(shop: Shop):
    """The SQLite that it names is the one that opens the store."""
    [check] = check_versions()
    assert check.level == "ok"
    with shop.store.read() as connection:
        assert f"SQLite {connection.scalar(sa.select(sa.func.sqlite_version()))}," in check.says


def test_another_version_or_none_is_bad_and_says_what_to_install():
    """With another SQLAlchemy Prefect starts, is healthy, and never makes a run."""
    old, missing = check_versions({"sqlalchemy": ((9, 0), (9, 1)), "no-such-package": ((1,), (2,))})
    assert (old.level, old.do) == ("bad", "pip install 'sqlalchemy>=9.0,<9.1'")
    assert (missing.level, missing.says) == ("bad", "no-such-package is not installed")


@pytest.mark.parametrize(("off_s", "level"), [(0, "ok"), (-30, "warn"), (30, "warn"), (-7200, "bad"), (7200, "bad")])
def test_a_clock_that_is_off_is_seen_by_the_providers(shop: Shop, tmp_path: Path, off_s: int, level: str):
    """Leases and due instants need it; SendGrid's own Date header says how far."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = b'{"scopes": ["mail.send"]}'
            self.send_response_only(200)
            self.send_header("Date", formatdate(time.time() + off_s, usegmt=True))
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environ = {"SENDGRID_API_KEY": "SG.x", "SENDGRID_BASE_URL": f"http://127.0.0.1:{server.server_port}"}
    found = levels(check_senders(settings(tmp_path, environ), rules_of(shop, "sendgrid"), None))
    server.shutdown()
    server.server_close()
    assert found == {"sendgrid": "ok", "clock": level}


def test_a_store_at_its_head_is_ok_and_a_damaged_file_is_bad(shop: Shop):
    assert check_layout(shop.store).level == "ok"
    assert levels(check_files(shop.store)) == {"disk": "ok"}
    shop.people(500)
    path = shop.store.files()["core"]
    shop.store.close()
    with path.open("rb+") as file:
        file.seek(8192 * 3)
        file.write(b"\xff" * 8192 * 2)
    assert levels(check_files(shop.store))["file of core"] == "bad"


def test_another_edition_of_the_zone_files_is_told(shop: Shop):
    with shop.store.write("core") as connection:
        connection.execute(t.setting.delete().where(t.setting.c.name == "tzdata"))
        connection.execute(t.setting.insert().values(name="tzdata", value="1999a"))
    with shop.store.read() as connection:
        assert check_zones(connection).level == "warn"


def test_a_connector_on_hold_says_how_it_goes_on(shop: Shop):
    with shop.store.write("ledger") as connection:
        hold(connection, "sandbox.email", "401 revoked", 0)
    with shop.store.read() as connection:
        found = {check.subject: check for check in check_standing(connection, REPORTING, shop.clock.now())}
    assert found["sandbox.email"].level == "bad"
    assert "carillon resume --connector sandbox.email" in found["sandbox.email"].do


def test_silence_is_hours_without_a_report_about_what_was_handed_over(any_shop: Shop):
    """Quiet before the patience is over, silent after it, and ended by one report; a person's click is none."""
    shop = any_shop
    shop.people(3)
    shop.campaign("news", NEWS)
    shop.apply()
    shop.run("news", "2026-11-03 10:00")
    handed = shop.clock.now()

    def seen(now: int) -> int | None:
        with shop.store.read() as connection:
            quiet = silence(connection, REPORTING, now)
        return None if quiet is None else quiet.people

    assert seen(handed + PATIENCE - 1) is None
    assert seen(handed + PATIENCE) == 3
    shop.click("p0001", "email.hello")
    assert seen(handed + PATIENCE) == 3
    with shop.store.read() as connection:
        assert silence(connection, frozenset({"smtp"}), handed + PATIENCE) is None, "a relay never reports"
    shop.bounce("p0002", "email.hello")
    assert seen(handed + DAY) is None


def test_the_alarm_is_raised_once_an_hour(any_shop: Shop):
    now = any_shop.clock.now()
    told = [is_to_be_told(any_shop.store, now + after) for after in (0, 1, HOUR - 1, HOUR, HOUR + 1, 2 * HOUR)]
    assert told == [True, False, False, True, False, True]


def test_drift_between_store_and_deployments(shop: Shop):
    """Nothing answers at all, or a server answers that is no Prefect."""
    rules_of(shop)
    assert levels(check_prefect(shop.store, None, shop.clock.now())) == {"Prefect": "warn"}
    with receiving() as other:
        assert levels(check_prefect(shop.store, other.url, shop.clock.now())) == {"Prefect": "bad"}


def test_the_command_says_what_to_do_and_exits_1_where_something_is_bad(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CARILLON_DATABASE_URL", shop.store.url)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    rules_of(shop)
    good = CliRunner().invoke(doctor, ["--json"])
    assert (good.exit_code, json.loads(good.stdout)["good"]) == (0, True)
    with shop.store.write("ledger") as connection:
        hold(connection, "sandbox.email", "401 revoked", SystemClock().now())

    bad = CliRunner().invoke(doctor)

    assert bad.exit_code == 1
    assert "BAD   sandbox.email: takes nothing: 401 revoked\n      → mend it" in bad.stdout
