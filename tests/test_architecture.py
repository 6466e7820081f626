"""The direction of the house (docs/architecture.md §1), read from the imports; and what no committed file may hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ROOMS = (
    "kernel", "store", "definition", "consent", "people", "audience", "experiment", "plan", "journey", "policy",
    "messages", "delivery", "feedback", "evaluation", "advance", "foresight", "reports", "sandbox", "web",
)  # fmt: skip
"""In the order in which data passes: a room imports only rooms before it."""
ROOF = ("settings", "assembly", "demo", "operating", "cli")
"""Over all rooms; one of them may import those before it."""

OF_ALL = ("__version__",)
"""What the package itself says; any room may ask it."""

FOR_CONNECTORS = ("carillon.kernel", "carillon.delivery.protocol", "carillon.feedback.model")
"""All that a connector may know of the engine."""

SPELT_TWICE = {
    "carillon/audience/fields.py": "order of texts: PostgreSQL needs its collation named",
    "carillon/audience/patterns.py": "what a text contains: LIKE is not the same on both",
    "carillon/audience/sets.py": "which shape of the same question each planner answers fast",
    "carillon/cli/keep.py": "what to do about backups: SQLite's parts are copied, PostgreSQL has its own tools",
    "carillon/operating/check_store.py": "files of a SQLite store may be too old, damaged or on a full disk",
    "flows/deploy_campaigns.py": "SQLite is one machine: nobody helps it to hand over",
    "carillon/feedback/responses.py": "the length of a list in JSON, inside a statement written as text",
}
"""Files outside `store/` that ask which store is below, each with its reason."""


@dataclass(frozen=True, slots=True)
class Import:
    """One module that a file imports."""

    path: Path
    line: int
    module: str

    @property
    def room(self) -> str:
        """`kernel` for carillon/kernel/ids.py, `settings` for carillon/settings.py."""
        return self.path.relative_to(ROOT).parts[1].removesuffix(".py")

    @property
    def target(self) -> str:
        """The room imported, for a module of carillon."""
        return self.module.split(".")[1]

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line} imports {self.module}"


def _modules(node: ast.stmt) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [name.name for name in names]
        case ast.ImportFrom(module=str(module), level=0, names=names):
            # `from carillon import settings` names a module, `from carillon.kernel.ids import h31` a thing in one
            return [f"{module}.{name.name}" if "." not in module else module for name in names]
        case ast.ImportFrom():
            return ["relative"]
        case _:
            return []


def imports_of(folder: str) -> Iterator[Import]:
    """Every import of a top folder, also those inside functions."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.stmt):
                yield from (Import(path, node.lineno, module) for module in _modules(node))


def _inside(module: str, parents: tuple[str, ...]) -> bool:
    return any(module == parent or module.startswith(f"{parent}.") for parent in parents)


def test_every_room_of_carillon_has_its_place_in_the_order():
    """A new folder is a new room: its place in the order is a decision, written above and in docs/architecture.md."""
    rooms = {p.name for p in (ROOT / "carillon").iterdir() if p.is_dir() and any(p.glob("*.py"))}
    files = {p.stem for p in (ROOT / "carillon").glob("*.py")} - {"__init__"}
    assert (rooms | files) - {*ROOMS, *ROOF} == set()


def test_a_room_imports_only_rooms_before_it():
    """What is decided early knows nothing of what is decided late."""
    place = {name: number for number, name in enumerate([*ROOMS, *ROOF])}
    against = [
        str(found)
        for found in imports_of("carillon")
        if _inside(found.module, ("carillon",))
        and found.target not in OF_ALL
        and place[found.target] > place[found.room]
    ]
    assert against == []


def test_connectors_know_the_protocol_and_nothing_of_campaigns_or_the_store():
    """A connector is a translation table: it can be read, and written, without the engine."""
    ours = (*FOR_CONNECTORS, "connectors")
    known = [found for found in imports_of("connectors") if _inside(found.module, ("carillon", "flows", "connectors"))]
    assert [str(found) for found in known if not _inside(found.module, ours)] == []
    assert len(known) > 10


def test_only_assembly_knows_which_connectors_exist():
    """Adding a provider touches its folder and `assembly.py`."""
    importers = {found.path.name for found in imports_of("carillon") if _inside(found.module, ("connectors",))}
    assert importers == {"assembly.py"}
    assert [str(found) for found in imports_of("flows") if _inside(found.module, ("connectors",))] == []


def test_nothing_imports_flows_and_carillon_never_imports_prefect():
    """Prefect starts, shows and asks; the engine runs without it."""
    against = [
        str(found)
        for folder in ("carillon", "connectors")
        for found in imports_of(folder)
        if _inside(found.module, ("flows", "prefect"))
    ]
    assert against == []
    assert any(_inside(found.module, ("prefect",)) for found in imports_of("flows"))


def test_no_second_sqlite_library_opens_the_store():
    """Two SQLite libraries in one process drop each other's file locks: POSIX locks belong to the process."""
    others = (
        "apsw",
        "pysqlite3",
        "sqlcipher3",
        "adbc_driver_manager",
        "adbc_driver_sqlite",
        "duckdb",
        "libsql",
        "sqlean",
    )
    found = {
        (str(found.path.relative_to(ROOT)), found.module.partition(".")[0])
        for folder in ("carillon", "connectors", "flows")
        for found in imports_of(folder)
        if _inside(found.module, others) or (_inside(found.module, ("sqlite3",)) and found.room != "sandbox")
    }
    assert found == {
        ("carillon/store/sqlite.py", "pysqlite3"),  # the one that opens it …
        ("carillon/store/sqlite.py", "sqlite3"),  # … and where there is none
        ("carillon/people/sent.py", "sqlite3"),  # databases in memory; the sandbox has a file of its own
    }


def test_which_store_is_below_is_asked_in_store_and_in_the_few_named_places():
    """A difference between the stores is spelt once, in `store/`; each exception has its reason, and is still one."""
    asks = re.compile(r"dialect(\.name)?\s*(==|!=)|\[\w+\.dialect\.name\]|sqlalchemy\.dialects")
    found = {
        str(path.relative_to(ROOT))
        for folder in ("carillon", "connectors", "flows")
        for path in (ROOT / folder).rglob("*.py")
        if asks.search(path.read_text()) and path.relative_to(ROOT).parts[:2] != ("carillon", "store")
    }
    assert found == set(SPELT_TWICE)


# ---------------------------------------------------------------- committed files


def _tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: there is no list of committed files")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


FORBIDDEN = {
    "an index address": r"--(extra-)?index-url|pypi\.org|find-links|trusted-host|pythonhosted",
    "a path of one machine": r"(?<![\w.$~-])/(?:work|root|home|Users)/\w",
    "a temporary folder of one machine": r"(?<![\w.$~-])/tmp/\w",
    "a private key": r"-----BEGIN (?:EC |RSA )?PRIVATE KEY-----\n[A-Za-z0-9+/]",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_committed_file_holds(what):
    """A clone works on any machine with any package index, and tells nothing about ours."""
    pattern = re.compile(FORBIDDEN[what])
    holders = []
    for path in _tracked():
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1):
            if pattern.search(line):
                holders.append(f"{path.relative_to(ROOT)}:{number} {line.strip()[:80]}")
    assert holders == []


def test_names_of_files_and_folders_say_what_they_hold():
    """`util` and `manager` are names for what nobody has thought about yet; two flow files must not shadow Python's."""
    vague = re.compile(r"(^|_)(util|utils|helper|helpers|manager|misc|process|data|info|v2)(_|$)")
    names = [p for p in _tracked() if p.suffix == ".py" and vague.search(p.stem)]
    assert [str(p.relative_to(ROOT)) for p in names if p.name != "build_data.py"] == []
    shadows = {p.stem for p in (ROOT / "flows").glob("*.py")} & set(sys.stdlib_module_names)
    assert shadows == set()


def test_no_two_test_files_have_the_same_name() -> None:
    """pytest imports a test file by its base name: of two in one process the second is an error."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert {name for name in names if names.count(name) > 1} == set()
