"""Online Retail I and II, imported once a session through the commands that a shop would use."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from carillon.store.engine import Store
from carillon.store.migrate import open_store

HERE = Path(__file__).parent / "online_retail"
DATA = Path(__file__).parents[2].parent / "shared" / "data"
OLDER, NEWER = DATA / "online_retail_II_2009_2010.parquet", DATA / "online_retail_2010_2011.parquet"


CUSTOMERS_OLDER = ("--map", "id=Customer ID", "--map", "country=Country", "--ignore-others")
CUSTOMERS_NEWER = ("--map", "id=CustomerID", "--map", "country=Country", "--ignore-others")


@dataclass(frozen=True)
class Imported:
    """A workspace into which the orders were imported, and what each command said."""

    store: Store
    folder: Path
    said: dict[str, Any]


def run_import(folder: Path, *arguments: str) -> dict[str, Any]:
    """`carillon import … --json` in this folder."""
    from carillon.cli.import_ import import_group

    before = Path.cwd()
    os.chdir(folder)
    try:
        done = CliRunner().invoke(import_group, [*arguments, "--json"], catch_exceptions=False)
    finally:
        os.chdir(before)
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def _workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("online_retail")
    shutil.copytree(HERE / "campaigns", folder / "campaigns")
    return folder


def _store(folder: Path) -> Store:
    return open_store(f"sqlite:///{folder / '.carillon' / 'carillon.db'}")


@pytest.fixture(scope="session")
def online_retail_slice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imported]:
    """The first 60,000 rows of the newer file, imported as all of it would be."""
    if not NEWER.exists():
        pytest.skip("the Online Retail files are not here")
    import pyarrow.parquet as pq

    folder = _workspace(tmp_path_factory)
    pq.write_table(pq.read_table(NEWER).slice(0, 60_000), folder / "lines.parquet")
    said = {
        "contacts": run_import(folder, "contacts", "lines.parquet", *CUSTOMERS_NEWER),
        "lines": run_import(folder, "events", "lines.parquet", "--mapping", str(HERE / "lines_2010.yaml")),
        "lines again": run_import(folder, "events", "lines.parquet", "--mapping", str(HERE / "lines_2010.yaml")),
    }
    store = _store(folder)
    yield Imported(store, folder, said)
    store.close()


@pytest.fixture(scope="session")
def online_retail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Imported]:
    """All 1,067,370 rows of both files: customers as contacts, invoice lines as events `line_bought`."""
    if not (OLDER.exists() and NEWER.exists()):
        pytest.skip("the Online Retail files are not here")
    folder = _workspace(tmp_path_factory)
    for path in (OLDER, NEWER):  # refused rows are written beside the file, and the data are not ours to write to
        (folder / path.name).symlink_to(path)
    said = {
        "older contacts": run_import(folder, "contacts", OLDER.name, *CUSTOMERS_OLDER),
        "newer contacts": run_import(folder, "contacts", NEWER.name, *CUSTOMERS_NEWER),
        "older lines": run_import(folder, "events", OLDER.name, "--mapping", str(HERE / "lines_2009.yaml")),
        "newer lines": run_import(folder, "events", NEWER.name, "--mapping", str(HERE / "lines_2010.yaml")),
    }
    store = _store(folder)
    yield Imported(store, folder, said)
    store.close()


@pytest.fixture(scope="session")
def online_retail_store(online_retail: Imported) -> Store:
    """The store that both files were imported into."""
    return online_retail.store
