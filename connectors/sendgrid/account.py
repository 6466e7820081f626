"""Does SendGrid take our key, and may it send? Asked by `carillon doctor`; nothing is sent."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from carillon.delivery.protocol import Account

RIGHT = "mail.send"
MAKE = "make a key with the right Mail Send (SendGrid: Settings → API Keys) and set SENDGRID_API_KEY"
PATIENCE_S = 10.0


def account(settings: Mapping[str, str]) -> Account:
    """What `GET /v3/scopes` answers to the key of the settings."""
    key = settings.get("SENDGRID_API_KEY", "")
    base = settings.get("SENDGRID_BASE_URL") or "https://api.sendgrid.com"
    if not key:
        return Account(False, "SENDGRID_API_KEY is not set", MAKE)
    try:
        answer = httpx.get(
            f"{base}/v3/scopes", headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE_S, trust_env=False
        )
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        return Account(False, f"{base} does not answer: {fault}", "look at the network, and at SENDGRID_BASE_URL")
    date = answer.headers.get("date", "")
    if answer.status_code in (401, 403):
        return Account(False, f"SendGrid refuses the key ({answer.status_code})", MAKE, date)
    if not answer.is_success:
        return Account(False, f"SendGrid answers {answer.status_code}", "try again; status.sendgrid.com", date)
    if RIGHT not in _scopes(answer):
        return Account(False, "SendGrid takes the key, but it may not send mail", MAKE, date)
    return Account(True, "SendGrid takes the key, and it may send mail", date=date)


def _scopes(answer: httpx.Response) -> list[str]:
    try:
        return list(answer.json()["scopes"])
    except (ValueError, KeyError, TypeError):
        return []
