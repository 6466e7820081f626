"""Documents that are held to the code: the reference of the language, the dependencies, the links."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

IMPORT_NAMES = {
    "pyyaml": "yaml", "python-liquid": "liquid", "mjml-python": "mjml", "css-inline": "css_inline",
    "python-dateutil": "dateutil", "email-validator": "email_validator", "is-bot": "is_bot",
    "vl-convert-python": "vl_convert",
}  # fmt: skip
"""Packages that are imported under another name."""

WITHOUT_IMPORT = {
    "sendgrid": "its signature validator is the other side in tests; a user's own code may want it beside us",
    "psycopg": "SQLAlchemy loads it by the URL",
    "httptools": "uvicorn loads it by name",
    "uvloop": "uvicorn loads it where it is there",
    "sniffio": "httpcore looks for it on every call",
    "tzdata": "its files are read, nothing in it is called",
}
WITH_THEIR_PARENTS = {"starlette": "fastapi", "yarl": "aiohttp", "markupsafe": "jinja2", "pydantic_core": "pydantic"}


def _declared(lines: list[str]) -> set[str]:
    return {found[0].lower() for line in lines if (found := re.match(r"[A-Za-z0-9_.-]+", line))}


def _imported() -> set[str]:
    found = set()
    for folder in ("carillon", "connectors", "flows"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    found |= {name.name.split(".")[0] for name in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"carillon", "connectors", "flows"}


RUNTIME = _declared(PROJECT["dependencies"])
PARQUET = _declared(PROJECT["optional-dependencies"]["parquet"])
DEV = _declared(PROJECT["optional-dependencies"]["dev"])


def test_what_is_imported_is_declared():
    """A wheel that imports what it does not ask for works by luck."""
    declared = {IMPORT_NAMES.get(name, name) for name in RUNTIME | PARQUET}
    assert _imported() - declared - set(WITH_THEIR_PARENTS) == set()
    assert set(WITH_THEIR_PARENTS.values()) <= RUNTIME


def test_what_is_declared_is_used():
    """A dependency that nothing imports has a reason of its own, or goes."""
    used = _imported()
    unused = {name for name in RUNTIME | PARQUET if IMPORT_NAMES.get(name, name) not in used}
    assert unused == set(WITHOUT_IMPORT)


@pytest.mark.parametrize("name", sorted(RUNTIME | PARQUET | DEV))
def test_each_dependency_has_its_line(name):
    """docs/decisions/0002-dependencies.md says why it is here."""
    page = (ROOT / "docs" / "decisions" / "0002-dependencies.md").read_text()
    plain = name.removeprefix("types-").removeprefix("pytest-")
    assert re.search(rf"(?<![\w-]){re.escape(plain)}(?![\w-])", page), f"no reason for {name}"


def test_links_in_the_documents_lead_somewhere():
    """Every relative link of README and docs/ names a file that is there."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    broken = []
    for page in pages:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)} → {target}")
    assert broken == []
