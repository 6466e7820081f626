"""What `carillon run`, `status`, `unsure` and `report` import, and pydantic's readers of plans and rules.

A child of the kill suite begins with all of it: the suite starts hundreds of them, and each took longer to import than
to run.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

from carillon.plan.compile import plan_from_json, rules_from_json

for name in (
    "carillon.advance.advance", "carillon.assembly", "carillon.cli.report", "carillon.cli.run", "carillon.cli.status",
    "carillon.cli.unsure", "carillon.cli.watching", "carillon.delivery.work", "carillon.reports.build",
    "carillon.reports.status", "connectors.sendgrid.connector", "connectors.twilio.connector", "psutil", "psycopg",
    "rich.progress", "scipy.special", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite", "uvloop",
):  # fmt: skip
    import_module(name)

for read in (plan_from_json, rules_from_json):
    with suppress(ValueError):
        read("")
