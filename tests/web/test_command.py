"""`carillon web` as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import sqlalchemy as sa

from carillon.kernel.tokens import Keyring, TokenKind
from carillon.plan.applied import RULES as RULES_SETTING
from carillon.plan.compile import rules_to_json
from carillon.store import tables as t
from carillon.store.engine import Store
from tests.feedback.ground import EMAIL_NODE, PERSON, RULES, lay_ground

KEY = "a key of the command's tests of 37 bytes"


def test_the_web_serves_and_ends_cleanly(sqlite_store: Store, tmp_path: Path) -> None:
    """SIGTERM while a keep-alive connection is open: exit code 0, and what was acknowledged is in the store."""
    ground = lay_ground(sqlite_store)
    ground.contact("ada")
    token = Keyring((KEY.encode(),)).make(TokenKind.CLICK, EMAIL_NODE, ground.sent("ada"))
    with sqlite_store.write("core") as connection:
        connection.execute(t.setting.insert().values(name=RULES_SETTING, value=rules_to_json(RULES)))
    (tmp_path / "campaigns").mkdir()
    environ = {**os.environ, "CARILLON_DATABASE_URL": sqlite_store.url, "CARILLON_SECRET_KEY": KEY}
    process = subprocess.Popen(
        [sys.executable, "-m", "carillon.cli.main", "web", "--port", "0"],
        cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found, line
        with httpx.Client(base_url=found[0], headers={"user-agent": PERSON}) as browser:
            assert browser.get(f"/c/{token}/0").status_code == 302
            assert browser.post("/v1/track", json={}, auth=("", "")).status_code == 401  # no write key was set
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.wait()
    assert [row["kind"] for row in ground.rows(sa.select(t.event.c.kind))] == ["message.clicked"]
