"""The sandbox from outside: its page shows everything and runs nothing, its API refuses as the vendors do."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from carillon.sandbox.keys import Keys, keys_of
from carillon.sandbox.server import Running, make_world, start_sandbox

EVIL = "<script>alert(1)</script>\"'&"


@pytest.fixture(scope="module")
def one_sandbox() -> Iterator[Running]:
    with start_sandbox(make_world(keys=Keys(b"inbox"))) as running:
        yield running


@pytest.fixture
def sandbox(one_sandbox: Running) -> Running:
    """An empty sandbox."""
    httpx.post(f"{one_sandbox.url}/sandbox/empty", headers={"X-Sandbox": "empty"}, trust_env=False)
    return one_sandbox


def mail(to: str = "ada@example.com", **changed: object) -> dict[str, object]:
    return {
        "personalizations": [{"to": [{"email": to}], "custom_args": {"cid": "c1"}, "substitutions": {"[n]": EVIL}}],
        "from": {"email": "hello@acme.example", "name": EVIL},
        "subject": "Hello [n]",
        "content": [
            {"type": "text/plain", "value": "Hello [n]"},
            {"type": "text/html", "value": "<p>Hello <b>[n]</b></p>"},
        ],
        "categories": ["spring_sale"],
        **changed,
    }


def send(running: Running, body: object, **headers: str) -> httpx.Response:
    auth = {"Authorization": f"Bearer {running.keys.api_key}", **headers}
    return httpx.post(f"{running.url}/v3/mail/send", content=orjson.dumps(body), headers=auth, trust_env=False)


def text(running: Running, to: str, words: str) -> httpx.Response:
    url = f"{running.url}/2010-04-01/Accounts/{running.keys.account_sid}/Messages.json"
    form = {"To": to, "From": "+15005550006", "Body": words}
    return httpx.post(url, data=form, auth=(running.keys.account_sid, running.keys.auth_token), trust_env=False)


def page(running: Running, path: str = "/") -> httpx.Response:
    return httpx.get(running.url + path, trust_env=False)


def shown(running: Running, path: str) -> list[str]:
    return re.findall(r'<b class="cut">(.*?)</b>', page(running, path).text)


def test_an_empty_inbox_says_what_to_do(sandbox: Running) -> None:
    """Not an empty list."""
    assert "Nothing has arrived yet" in page(sandbox).text


def test_the_list_is_filtered_by_channel_category_address_and_words(sandbox: Running) -> None:
    """And says when nothing fits."""
    send(sandbox, mail("ada@example.com"))
    send(sandbox, mail("grace@example.com", categories=["welcome"], subject="Welcome aboard"))
    text(sandbox, "+4915112345678", "Ends tonight")
    assert shown(sandbox, "/") == ["+4915112345678", "grace@example.com", "ada@example.com"]
    assert shown(sandbox, "/?channel=sms") == ["+4915112345678"]
    assert shown(sandbox, "/?category=welcome") == ["grace@example.com"]
    assert shown(sandbox, "/?q=ADA") == ["ada@example.com"]
    assert shown(sandbox, "/?q=aboard") == ["grace@example.com"]
    assert shown(sandbox, "/?q=tonight&channel=sms") == ["+4915112345678"]
    assert shown(sandbox, "/?category=wel") == []
    assert "No message fits" in page(sandbox, "/?q=nobody").text
    assert page(sandbox, "/?open=99999999999&page=zzz").status_code == 200


def test_a_message_that_is_open_is_all_that_a_phone_shows(sandbox: Running) -> None:
    """Otherwise a tap on a message seems to do nothing: the letter stands below the list."""
    send(sandbox, mail())
    assert '<div class="columns">' in page(sandbox).text
    opened = page(sandbox, "/?open=1&channel=email").text
    assert '<div class="columns reading">' in opened
    assert '<a class="back" href="/?channel=email">' in opened


def test_categories_are_shown_as_a_tree(sandbox: Running) -> None:
    """Names that begin alike were cut off where they differ."""
    names = ["sale", "sale/email.sale", "sale/email.sale/plain"]
    send(sandbox, mail(categories=names))
    found = re.findall(r'<span class="cut deep-(\d)" title="(.*?)">(.*?)</span>', page(sandbox).text)
    assert found == [("0", names[0], "sale"), ("1", names[1], "email.sale"), ("2", names[2], "plain")]


def test_whatever_stands_in_a_message_is_shown_and_never_run(sandbox: Running) -> None:
    """Escaped in the page; the HTML itself only in a frame that may run and fetch nothing."""
    send(sandbox, mail())
    text(sandbox, "+4915112345678", EVIL)
    for path in ("/?open=1", "/?open=2", f"/?q={EVIL}", f"/?category={EVIL}"):
        answer = page(sandbox, path)
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "script-src 'self'" in answer.headers["content-security-policy"]
    frame = page(sandbox, "/messages/1/html")
    assert f"<p>Hello <b>{EVIL}</b></p>" in frame.text
    policy = frame.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-popups")
    assert "default-src 'none'" in policy
    assert "allow-scripts" not in policy + page(sandbox, "/?open=1").text
    assert "http:" not in policy
    assert page(sandbox, "/messages/2/html").status_code == 404
    assert page(sandbox, "/messages/99999999999999999999999/html").status_code == 404


def test_a_page_elsewhere_cannot_reach_the_sandbox(sandbox: Running) -> None:
    """Neither by a host name of its own nor by a plain form."""
    strange = httpx.get(f"{sandbox.url}/sandbox/keys", headers={"Host": "evil.example"}, trust_env=False)
    assert strange.status_code == 400
    assert httpx.post(f"{sandbox.url}/sandbox/empty", trust_env=False).status_code == 403


def test_emptying_forgets_everything(sandbox: Running) -> None:
    """The next message is not taken for a former one."""
    send(sandbox, mail(subject="First"))
    assert "First" in page(sandbox, "/?open=1").text
    httpx.post(f"{sandbox.url}/sandbox/empty", headers={"X-Sandbox": "empty"}, trust_env=False)
    send(sandbox, mail(subject="Second"))
    assert "First" not in page(sandbox, "/?open=1").text


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"personalizations": []}, "personalizations"),
        ({"personalizations": [{"to": [{"email": "a@b.example"}]}] * 1001}, "personalizations"),
        ({"personalizations": [{"to": [{"email": "a@b.example"}] * 501}] * 2}, "personalizations"),
        ({"personalizations": [{"to": [{"email": "nobody"}]}]}, "personalizations.0.to.0.email"),
        ({"personalizations": [{"to": [{"email": "a@b.example", "name": "A, B"}]}]}, "personalizations.0.to.0.name"),
        ({"personalizations": [{"to": [{"email": "a@b.example"}], "custom_args": {"cid": 5}}]}, None),
        (
            {"personalizations": [{"to": [{"email": "a@b.example"}], "headers": {"Subject": "x"}}]},
            "personalizations.0.headers",
        ),
        ({"personalizations": [{}]}, "personalizations.0.to"),
        ({"from": {"name": "x"}}, "from.email"),
        ({"subject": ""}, "subject"),
        ({"content": [{"type": "text/html", "value": ""}]}, "content.0"),
        ({"content": [{"type": "text/html", "value": "x"}, {"type": "text/plain", "value": "x"}]}, "content"),
        ({"categories": ["a", "a"]}, "categories"),
        ({"categories": "a"}, "categories"),
    ],
)
def test_a_mail_that_sendgrid_refuses_is_refused_with_its_field(
    sandbox: Running, changed: dict[str, object], field: str | None
) -> None:
    """In SendGrid's shape, and nothing is stored."""
    answer = send(sandbox, mail(**changed))
    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (400, [field])
    assert page(sandbox, "/messages/count").json() == {"total": 0}


def test_what_is_no_json_no_key_or_too_big_is_refused(sandbox: Running) -> None:
    """413 comes from nginx and is no JSON."""
    assert send(sandbox, [1]).status_code == 400
    assert send(sandbox, mail(), Authorization="Bearer x").status_code == 401
    assert send(sandbox, mail(), Authorization="").json()["errors"][0]["message"] == "authorization required"
    big = send(sandbox, {"x": "y" * 30_000_001})
    assert (big.status_code, "nginx" in big.text) == (413, True)


def test_a_configured_rate_is_kept_and_its_headers_say_so() -> None:
    """Two a second: the third and fourth wait for the next second (four within one second, at some point)."""
    with start_sandbox(make_world(keys=Keys(b"inbox"), per_second=2)) as running:
        answers = [send(running, mail(f"p{i}@example.com")) for i in range(12)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused
        assert refused[0].headers["X-RateLimit-Remaining"] == "0"
        assert int(refused[0].headers["X-RateLimit-Reset"]) >= time.time() - 30
        assert {answer.status_code for answer in answers} == {202, 429}


def test_keys_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    """A sandbox keeps its keys over a restart; another folder has others."""
    first = keys_of(tmp_path / "a")
    assert keys_of(tmp_path / "a") == first
    assert keys_of(tmp_path / "b") != first
    assert (tmp_path / "a" / "secret").stat().st_mode & 0o777 == 0o600
    assert set(first.settings("http://127.0.0.1:1")) >= {"SENDGRID_API_KEY", "TWILIO_AUTH_TOKEN", "CARILLON_WRITE_KEY"}


def test_messages_survive_a_restart(tmp_path: Path) -> None:
    """The file is the sandbox; while it serves, its folder says where."""
    with start_sandbox(make_world(tmp_path)) as running:
        send(running, mail())
        assert (tmp_path / "url").read_text() == running.url
    assert not (tmp_path / "url").exists()
    with start_sandbox(make_world(tmp_path)) as running:
        assert shown(running, "/") == ["ada@example.com"]


def test_the_command_serves_and_ends_cleanly_by_ctrl_c(tmp_path: Path) -> None:
    """It names its inbox, answers, and leaves with 0 and no traceback."""
    code = "from carillon.cli.sandbox import sandbox; sandbox()"
    words = [sys.executable, "-c", code, "--port", "0", "--folder", str(tmp_path / "sandbox")]
    run = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert run.stdout is not None
        url = run.stdout.readline().split()[-1]
        answered = httpx.get(url, trust_env=False, timeout=20)
        run.send_signal(signal.SIGINT)
        rest = run.communicate(timeout=20)[0]
    finally:
        run.kill()
    assert (answered.status_code, run.returncode, "Traceback" in rest) == (200, 0, False)
