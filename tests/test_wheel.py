"""The wheel: what is in it, and that it works in an environment that has never seen this repository."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("carillon", "connectors", "flows")
STARTER = "carillon/cli/starter/campaigns"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel of this tree, built with the backend that is installed here, without an index."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder)]
    subprocess.run([*pip, "wheel", *options, str(ROOT)], check=True, capture_output=True, timeout=120)
    return next(folder.glob("carillon-*.whl"))


@pytest.fixture(scope="module")
def names(wheel) -> set[str]:
    """The names of all files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An environment with the wheel in it, and a folder far from the repository."""

    python: Path
    folder: Path

    def run(self, *command: str, cwd: str = ".") -> subprocess.CompletedProcess[str]:
        env = {key: value for key, value in os.environ.items() if not key.startswith(("CARILLON", "PREFECT", "PYTHON"))}
        return subprocess.run(
            [str(self.python.with_name(command[0])), *command[1:]],
            cwd=self.folder / cwd, env=env, capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    def carillon(self, *words: str) -> str:
        """Run the command in the new workspace; returns what it printed, and fails where it did not end well."""
        ran = self.run("carillon", *words, cwd="shop")
        assert ran.returncode == 0, f"carillon {' '.join(words)}: {ran.stdout}{ran.stderr}"
        return ran.stdout


@pytest.fixture(scope="module")
def elsewhere(wheel, tmp_path_factory) -> Elsewhere:
    """The wheel in a new environment. What it depends on is borrowed from ours; our editable checkout is not.

    A path in a .pth file lends the packages below it, and does not read the .pth files there.
    """
    folder = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    python = folder / "env" / "bin" / "python"
    where = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    lent = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    (Path(where.stdout.strip()) / "lent.pth").write_text("\n".join(lent) + "\n")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", "--ignore-installed", str(wheel)], check=True, capture_output=True)
    return Elsewhere(python, folder)


def _files(folder: Path) -> Sequence[Path]:
    hidden = {"__pycache__", ".schemas"}
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not hidden & set(path.parts)]


def test_every_file_of_the_packages_is_in_the_wheel(names):
    """Modules, templates, migrations, pages, styles, contacts to begin with: nothing is left behind."""
    wanted = {str(path.relative_to(ROOT)) for package in PACKAGES for path in _files(ROOT / package)}
    assert wanted - names == set()
    kinds = {Path(name).suffix for name in wanted}
    assert {".py", ".html", ".css", ".js", ".csv"} <= kinds


def test_the_starter_campaigns_are_in_the_wheel(names):
    """`carillon init` copies the campaigns of the repository, each file of them."""
    wanted = {f"{STARTER}/{path.relative_to(ROOT / 'campaigns')}" for path in _files(ROOT / "campaigns")}
    assert wanted - names == set()
    assert f"{STARTER}/workspace.yaml" in wanted


def test_nothing_else_is_in_the_wheel(names):
    """No tests, no documents, no state of somebody's machine; the licence travels along."""
    tops = {name.split("/")[0] for name in names}
    beside = {top for top in tops if not top.endswith(".dist-info")}
    assert beside == set(PACKAGES)
    assert [name for name in names if "__pycache__" in name or "/.carillon/" in name or name.endswith(".db")] == []
    licences = {Path(name).name for name in names if ".dist-info/licenses/" in name}
    assert licences == {"LICENSE", "NOTICE"}


def test_the_code_that_runs_there_is_the_wheels(elsewhere):
    """Everything below would prove nothing if it ran the checkout."""
    where = "import carillon, connectors, flows; print(carillon.__path__, connectors.__path__, flows.__path__)"
    ran = elsewhere.run("python", "-c", where)
    assert ran.returncode == 0, ran.stderr
    assert str(ROOT) not in ran.stdout
    assert ran.stdout.count(str(elsewhere.folder)) == 3


FIRST_CAMPAIGN = """\
title: Hello
topic: offers
audience: everyone
entry: {at: 2030-01-07 09:00}
journey:
  - email: hello
"""
FIRST_MESSAGE = """\
Hello {{ contact.first_name | default: "there" }},

we are open. Unsubscribe: {{ links.unsubscribe }}

{{ brand.address }}
"""


def test_the_first_steps_of_the_readme_work_from_the_wheel(elsewhere):
    """Every command of the README, one after the other, in an empty folder; each ends well and says what it did."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    steps = [shlex.split(line, comments=True) for line in re.findall(r"^carillon .*", readme, flags=re.M)]
    assert steps[0] == ["carillon", "init", "shop", "&&", "cd", "shop"]
    made = elsewhere.run(*steps[0][:3])
    assert (made.returncode, made.stderr) == (0, "")
    assert "Next: cd shop && carillon check" in made.stdout

    said = {" ".join(step[1:]): " ".join(elsewhere.carillon(*step[1:]).split()) for step in steps[1:]}
    names = sorted(path.parent.name for path in (ROOT / "campaigns").glob("*/campaign.yaml"))
    assert said["check"] == f"{len(names)} campaigns: all good."
    assert "6 new" in said["import contacts contacts.csv"]
    plans = ["Plan of Spring sale (spring_sale)", "Plan of Welcome (welcome)", "Plan of We miss you (win_back)"]
    assert [plan in said["plan"] for plan in plans] == [True] * 3
    applied = sorted([*names, "confirm-club-email"])  # whoever joins the club is asked for a second yes
    assert " ".join(f"{name}: new" for name in applied) in said["apply --all"]
    assert "1 entered" in said["run welcome"]
    assert "1 accepted" in said["run welcome"]
    assert "email.welcome" in said["explain m-1001 welcome"]
    assert list(said)[-1] == "report welcome"


def test_a_new_campaign_reaches_those_who_may_get_it(elsewhere):
    """Of six contacts of the starter one has no address and one no consent; the sandbox takes four mails."""
    hello = elsewhere.folder / "shop" / "campaigns" / "hello"
    (hello / "messages").mkdir(parents=True)
    (hello / "campaign.yaml").write_text(FIRST_CAMPAIGN)
    (hello / "messages" / "hello.yaml").write_text("subject: We are open\n")
    (hello / "messages" / "hello.de.yaml").write_text("subject: Wir sind da\n")
    (hello / "messages" / "hello.txt").write_text(FIRST_MESSAGE)
    elsewhere.carillon("apply", "hello")
    ran = json.loads(elsewhere.carillon("run", "hello", "--now", "2030-01-07T09:00", "--json"))
    counts = [stage["counts"] for stage in ran[0]["stages"] if stage["title"] in ("take people in", "email.hello")]
    assert counts == [
        {"entered": 6}, {"ready": 4, "skipped (no_address)": 1, "skipped (no_consent)": 1}, {"accepted": 4},
    ]  # fmt: skip


def test_help_and_a_slip_are_answered_from_the_wheel(elsewhere):
    """The list of commands is there, and a broken campaign is shown with its place and the nearest word."""
    assert "plan" in elsewhere.carillon("--help")
    broken = elsewhere.folder / "broken" / "campaigns"
    broken.mkdir(parents=True)
    (broken / "workspace.yaml").write_text("name: Shop\ntimezone: Europe/Berlin\ncurency: EUR\n")
    ran = elsewhere.run("carillon", "check", cwd="broken")
    assert ran.returncode == 1
    assert 'campaigns/workspace.yaml:3:1  WSP101  no key "curency" here' in ran.stdout + ran.stderr
    assert 'did you mean "currency"?' in ran.stdout + ran.stderr
