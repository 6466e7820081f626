"""Documents that are held to the code: the reference of the language, the dependencies, the links."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import yaml

from carillon.definition.entries import WEEKDAYS
from carillon.definition.load import load_workspace
from carillon.definition.meanings import LEFT_OUT, MEANINGS
from carillon.definition.reference import WRITTEN, with_reference
from carillon.definition.scalars import parse_clock
from carillon.definition.schema import all_words
from carillon.definition.words import Words
from carillon.kernel.clock import from_micros
from carillon.kernel.durations import parse_span
from carillon.kernel.time.calendar import add_span, days_at, local_to_utc, next_weekday_at
from carillon.policy.words import SkipReason
from tests.test_architecture import ROOF, ROOMS

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


# ---------------------------------------------------------------- docs/language.md

LANGUAGE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")


def test_the_reference_is_what_the_models_say():
    """Run `make reference` after a word was added, changed or got its engine."""
    assert with_reference(LANGUAGE) == LANGUAGE


def test_every_word_of_the_language_has_a_meaning():
    """And no meaning is left of a word that is gone."""
    models = [model for model in all_words(Words) if model.part]
    words = {f"{model.part}.{info.alias or name}" for model in models for name, info in model.model_fields.items()}
    assert words == set(MEANINGS)
    assert {word for word in LEFT_OUT if word not in words} == set()
    assert {word for word in WRITTEN if word not in words} == set()


def test_the_examples_of_the_language_page_have_no_problems(tmp_path):
    """Every YAML block that names its file is read, together with the others, and there is nothing to complain about."""
    files = dict(re.findall(r"```yaml\n# (\S+\.yaml)\n(.*?)```", LANGUAGE, flags=re.S))
    assert len(files) == 11
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
        if name.endswith("campaign.yaml"):
            _write_messages(tmp_path / name, text)
    loaded = load_workspace(tmp_path)
    assert [f"{p.position.file}:{p.position.line} {p.message}" for p in loaded.problems] == []
    assert set(loaded.campaigns) == {"announce", "spring_sale", "cart", "win_back"}


def _write_messages(campaign: Path, text: str) -> None:
    folder = campaign.parent / "messages"
    folder.mkdir(exist_ok=True)
    for channel, name in re.findall(r"\b(email|sms): (\w+)", text):
        if channel == "sms":
            (folder / f"{name}.sms.txt").write_text("Hello")
        else:
            (folder / f"{name}.txt").write_text("Hello {{ links.unsubscribe }} {{ brand.address }}")
            if (
                not (folder / f"{name}.yaml").exists()
                and f"# {folder.parent.name}/messages/{name}.yaml" not in LANGUAGE
            ):
                (folder / f"{name}.yaml").write_text("subject: Hello\n")


WAITS = re.findall(r"^\| `(.+?)` \| (\w+/\w+) \| (\S+ \S+) \| (\S+ \S+) \|", LANGUAGE, flags=re.M)


def test_the_table_of_waits_is_there():
    """An empty table would prove nothing."""
    assert len(WAITS) == 23


@pytest.mark.parametrize(("written", "zone", "begins", "ends"), WAITS)
def test_a_wait_of_the_language_page_ends_when_it_says(written, zone, begins, ends):
    """The instants of the table are those of `kernel/time`; tests/journey asks the SQL of a run for them."""
    start = local_to_utc(zone, datetime.fromisoformat(begins))
    match yaml.load(written, Loader=yaml.BaseLoader):
        case {"days": days, "at": at}:
            end = days_at(zone, start, int(days), parse_clock(at))
        case {"until": day, "at": at}:
            end = next_weekday_at(zone, start, [WEEKDAYS.index(day)], parse_clock(at))
        case {"until": instant}:
            end = local_to_utc(zone, datetime.fromisoformat(instant))
        case duration:
            span = parse_span(duration)
            end = add_span(zone, start, seconds=span.seconds, months=span.months)
    assert f"{from_micros(end).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}".startswith(ends.partition("+")[0])


def test_the_reasons_for_getting_nothing_stand_in_their_order():
    """The page lists the reasons as the engine asks them."""
    listed = re.search(r"the first of these reasons: `([a-z_\s]+)`", LANGUAGE)
    assert listed is not None
    assert listed[1].split() == [reason.value for reason in SkipReason]


# ---------------------------------------------------------------- docs/architecture.md


def test_the_page_of_the_house_names_every_room_in_its_order():
    """Whoever adds a room says what is in it."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = [
        name
        for row in re.findall(r"^\| (`.*?`) \|", page, flags=re.M)
        for name in re.findall(r"`(\w+)(?:/|\.py)`", row)
    ]
    assert named[: len(ROOMS)] == list(ROOMS)
    assert set(ROOF) <= set(named)
