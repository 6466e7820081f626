"""The settings of a run: its worker's environment, and below it the server's Secret blocks."""

from __future__ import annotations

import os

from prefect import get_client
from prefect.exceptions import ObjectNotFound

from carillon.settings import Settings, read_settings

OURS = ("CARILLON_", "SENDGRID_", "TWILIO_", "SMTP_")
MOST_BLOCKS = 200


def settings_of_run() -> Settings:
    """The settings of this process; what its environment leaves out is looked for in Secret blocks.

    A block is named like the setting, in lower case with dashes: `sendgrid-api-key`.
    """
    return read_settings(secrets_of_server() | {name: value for name, value in os.environ.items() if value})


def secrets_of_server() -> dict[str, str]:
    """Our settings among the server's Secret blocks, by their environment names."""
    with get_client(sync_client=True) as client:
        try:
            blocks = client.read_block_documents_by_type("secret", limit=MOST_BLOCKS, include_secrets=True)
        except ObjectNotFound:  # a server without the block type has no blocks of it
            return {}
    named = {(block.name or "").upper().replace("-", "_"): block.data.get("value") for block in blocks}
    return {name: value for name, value in named.items() if name.startswith(OURS) and isinstance(value, str)}
