"""Does Twilio take our keys, and is the account active? Asked by `carillon doctor`; nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from carillon.delivery.protocol import Account

SET = "set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN (Twilio Console → Account Info)"
PATIENCE_S = 10.0


def account(settings: Mapping[str, str]) -> Account:
    """What `GET /2010-04-01/Accounts/{Sid}.json` answers to the keys of the settings."""
    sid, token = settings.get("TWILIO_ACCOUNT_SID", ""), settings.get("TWILIO_AUTH_TOKEN", "")
    base = settings.get("TWILIO_BASE_URL") or "https://api.twilio.com"
    if not (sid and token):
        return Account(False, "the keys of Twilio are not set", SET)
    try:
        answer = httpx.get(
            f"{base}/2010-04-01/Accounts/{sid}.json", auth=(sid, token), timeout=PATIENCE_S, trust_env=False
        )
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        return Account(False, f"{base} does not answer: {fault}", "look at the network, and at TWILIO_BASE_URL")
    date = answer.headers.get("date", "")
    if answer.status_code in (401, 403, 404):
        return Account(False, f"Twilio refuses the keys ({answer.status_code})", SET, date)
    if not answer.is_success:
        return Account(False, f"Twilio answers {answer.status_code}", "try again; status.twilio.com", date)
    status = _status(answer)
    if status != "active":
        return Account(False, f"Twilio calls the account {status or 'nothing we know'}", "ask Twilio", date)
    return Account(True, "Twilio takes the keys, and the account is active", date=date)


def _status(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["status"])
    except (ValueError, KeyError, TypeError):
        return ""
