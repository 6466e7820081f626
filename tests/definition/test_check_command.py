"""`carillon check`: what it prints, what it remembers and how little it imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from carillon.cli.main import main
from carillon.definition.proved import check_workspace
from tests.definition.conftest import Shop

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_a_clean_workspace_is_all_good(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line and exit code 0, the second time from memory."""
    monkeypatch.chdir(shop.folder.parent)
    for _ in range(2):
        result = run("check")
        assert (result.output, result.exit_code) == ("1 campaign: all good.\n", 0)


def test_problems_are_printed_and_counted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every problem, the count, that nothing was applied, exit code 1; the same from memory."""
    monkeypatch.chdir(shop.folder.parent)
    shop.journey("  - emial: hello\n  - email: hello\n  - wait: 3m\n")
    for _ in range(2):
        result = run("check")
        assert result.exit_code == 1
        assert result.output == (
            'campaigns/sale/campaign.yaml:5:5  CAR201  no step begins with "emial"\n'
            "      5 |   - emial: hello\n"
            '        |     ^^^^^ did you mean "email"?\n'
            'campaigns/sale/campaign.yaml:7:11  CAR203  "m" could be minutes or months: write 3min or 3mo\n'
            "      7 |   - wait: 3m\n"
            "        |           ^^ expected a duration such as 6h or 3d\n"
            "2 problems. Nothing was applied.\n"
        )


def test_problems_as_json(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for machines."""
    monkeypatch.chdir(shop.folder.parent)
    shop.journey("  - email: hello\n  - wait: 3m\n")
    found = json.loads(run("check", "--json", "--no-cache").output)
    assert found == {
        "campaigns": ["sale"],
        "problems": [
            {
                "file": "campaigns/sale/campaign.yaml", "line": 6, "column": 11, "end_line": 6, "end_column": 13,
                "code": "CAR203", "severity": "error", "message": '"m" could be minutes or months: write 3min or 3mo',
                "expected": "a duration such as 6h or 3d", "suggestion": "",
            }
        ],
    }  # fmt: skip


def test_a_warning_alone_is_no_failure(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that nothing reads: told, exit code 0."""
    monkeypatch.chdir(shop.folder.parent)
    shop.put({"sale/messages/old.txt": "x"})
    result = run("check")
    assert result.exit_code == 0
    assert result.output.endswith("1 campaign: 1 warning.\n")


def test_only_what_changed_is_read_again(shop: Shop, tmp_path: Path) -> None:
    """A proof holds for a campaign's folder and what all share; a segment's change makes all stale."""
    proofs = tmp_path / "memory" / "proved.json"
    shop.put({"other/campaign.yaml": "topic: offers\nentry: {api: true}\njourney: []\n"})

    def read_again() -> list[str]:
        return check_workspace(shop.folder, env=None, proofs=proofs).read_again

    assert read_again() == ["", "other", "sale"]
    assert read_again() == []
    shop.journey("  - email: hello\n  - exit: done\n")
    assert read_again() == ["sale"]
    shop.put({"segments/buyers.yaml": "who: {event: cart_updated}\n"})
    assert read_again() == ["", "other", "sale"]
    proofs.unlink()
    assert read_again() == ["", "other", "sale"]
    proofs.write_text("{broken")
    assert read_again() == ["", "other", "sale"]


def test_memory_never_changes_the_answer(shop: Shop, tmp_path: Path) -> None:
    """What is remembered is what reading says, after each of several changes."""
    proofs = tmp_path / "proved.json"
    changes: list[dict[str, str | bytes | None]] = [
        {"values.yaml": "sale_end: 2027-01-03 23:59\n"},
        {
            "sale/campaign.yaml": "topic: offers\nends: {value: sale_ends}\nentry: {api: true}\njourney: [{email: hello}]\n"
        },
        {"values.yaml": "sale_ends: 2027-01-03 23:59\n"},
        {"sale/messages/hello.yaml": None},
        {"segments/buyers.yaml": "who: {segment: buyers}\n"},
        {"workspace.staging.yaml": "holdout: 5\n"},
    ]
    for change in changes:
        shop.put(change)
        for env in (None, "staging"):
            remembered = check_workspace(shop.folder, env=env, proofs=proofs)
            assert remembered.problems == check_workspace(shop.folder, env=env, proofs=None).problems
            assert remembered.problems == check_workspace(shop.folder, env=env, proofs=proofs).problems
            assert remembered.problems == shop.load(env).problems


HEAVY = (
    "prefect",
    "sqlalchemy",
    "sqlmodel",
    "alembic",
    "scipy",
    "numpy",
    "liquid",
    "aiohttp",
    "httpx",
    "rich",
    "fastapi",
)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["check", "--no-cache", "--workspace", "campaigns"]], ids=["help", "check"]
)
def test_check_and_help_stay_light(arguments: list[str]) -> None:
    """None of the heavy packages is imported by `carillon check` or `carillon --help`."""
    code = (
        "import sys\nfrom carillon.cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as end: assert not end.code, end.code\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["LOADED []"], done.stdout + done.stderr


def test_a_remembered_workspace_needs_no_models(shop: Shop) -> None:
    """With every proof at hand not even pydantic or YAML is imported."""
    code = (
        "import sys\nfrom carillon.cli.main import main\n"
        "try: main(['check'])\nexcept SystemExit: pass\n"
        "print([name for name in ('pydantic', 'yaml') if name in sys.modules])"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=shop.folder.parent, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert said == ["1 campaign: all good.\n['pydantic', 'yaml']\n", "1 campaign: all good.\n[]\n"]
