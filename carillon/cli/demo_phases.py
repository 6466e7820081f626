"""The phases of the demo in their order; each does what a command of its own would do, and says how long it took."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from hashlib import blake2b
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from carillon.assembly import open_house, running_sandbox
from carillon.cli import prefect_side as prefect
from carillon.cli.init import starter
from carillon.cli.opened import Opened
from carillon.cli.plan import apply_all
from carillon.cli.schema import write_schemas
from carillon.definition.entries import At
from carillon.definition.load import load_workspace
from carillon.definition.proved import check_workspace
from carillon.demo.days import Days
from carillon.demo.files import ImportFile, write_files
from carillon.demo.importing import bring_in
from carillon.demo.rehearsal import BrokenRehearsalError, rehearsal
from carillon.demo.retail import NoRetailError, retail_shop
from carillon.demo.servers import town
from carillon.demo.shop import Shop, make_shop
from carillon.demo.telling import Told
from carillon.kernel.clock import DAY, Micros, from_micros, to_micros
from carillon.kernel.problems import render
from carillon.sandbox.behaviour import Behaviour, load_behaviour
from carillon.settings import KEY_FILE, Settings, read_settings

SALE = "spring_sale"
EVENING_BEFORE = timedelta(hours=12)
"""So long before the sale's hour the demo imports, plans and applies."""
DAYS = 15
"""Virtual days: all planned looks of the test lie within."""
MARK = "demo.json"
HERE = Path(__file__).parent


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why and what to do."""


def run_demo(folder: Path, data: Path | None, contacts: int, seed: int, days: int = DAYS) -> None:
    """The whole demo; raises DemoError where something stands in its way. What it starts has ended when it returns."""
    told, began = Told(Console(highlight=False)), time.perf_counter()
    settings = _fresh_folder(told, folder, seed)
    with ExitStack() as stack:
        server, api_url = prefect.launch_server(settings, prefect.free_port())  # it starts while we import
        stack.callback(server.stop)
        with told.phase("A workspace and a shop"):
            house = stack.enter_context(_workspace(settings, "EUR" if data is None else "GBP"))
            begins = _begins(house)
            shop, files = _shop(told, house, data, contacts, seed, begins)
        with told.phase("Imports"):
            _import(told, house, files, begins)
        now = from_micros(begins).isoformat()
        with told.phase(f"carillon check && carillon plan {SALE}"):
            _check_and_plan(told, house, now)
        with told.phase("carillon apply --all"):
            for campaign, outcome in apply_all(house, sorted(house.loaded.messages), now):
                told.line(f"{campaign}: {outcome}")
        with told.phase(f"Prefect runs {SALE} over {days} virtual days"):
            try:
                prefect.wait_for_server(settings, server, api_url)
                _run(told, stack, house, shop, (begins, begins + days * DAY), api_url)
            except (TimeoutError, ChildProcessError, BrokenRehearsalError) as error:
                raise DemoError(str(error)) from error
        with told.phase(f"carillon report {SALE}"):
            _report(told, house, begins + days * DAY)
    _farewell(told, folder, time.perf_counter() - began)


# ------------------------------------------------------------------------------------------------- workspace and shop


def _fresh_folder(told: Told, folder: Path, seed: int) -> Settings:
    """An empty folder for the demo: an earlier demo is removed, anything else is left alone."""
    settings, mark = read_settings(root=folder), folder / ".carillon" / MARK
    if mark.exists():
        if running_sandbox(settings) is not None:
            raise DemoError(f"`carillon up` is running in {folder}: stop it first, or take another --folder")
        told.console.print(f"{folder} holds an earlier demo: it is removed, and everything starts anew.")
        shutil.rmtree(folder)
    elif folder.exists() and any(folder.iterdir()):
        raise DemoError(f"{folder} is not empty and no earlier demo: take another --folder")
    mark.parent.mkdir(parents=True)
    mark.write_text(json.dumps({"made_by": "carillon demo", "seed": seed}))
    # Simulated people act by what their message is called, and that is sealed with this key: the same seed, the same
    # people. It opens nothing but this demo: a key from a file is refused to every sender that is not the sandbox.
    (settings.state_dir / KEY_FILE).write_text(blake2b(f"carillon demo {seed}".encode(), digest_size=32).hexdigest())
    return settings


@contextmanager
def _workspace(settings: Settings, currency: str) -> Iterator[Opened]:
    shutil.copytree(starter(), settings.workspace, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    shutil.copyfile(HERE.parent / "demo" / "behaviour.yaml", settings.root / "behaviour.yaml")
    house_file = settings.workspace / "workspace.yaml"
    written = house_file.read_text(encoding="utf-8")
    house_file.write_text(written.replace("currency: EUR", f"currency: {currency}"), encoding="utf-8")
    loaded = load_workspace(settings.workspace)
    write_schemas(settings.workspace, loaded)
    store = open_house(settings)
    try:
        yield Opened(settings, store, loaded)
    finally:
        store.close()


def _begins(house: Opened) -> Micros:
    """The evening before the sale: virtual time starts there, whatever the machine's clock says."""
    entry = next(e for e in house.loaded.campaigns[SALE].entries if isinstance(e, At))
    hour = entry.at.replace(tzinfo=ZoneInfo(house.loaded.workspace.timezone))
    return to_micros(hour - EVENING_BEFORE)


def _shop(
    told: Told, house: Opened, data: Path | None, contacts: int, seed: int, begins: Micros
) -> tuple[Shop, list[ImportFile]]:
    told.line(
        f"{len(house.loaded.campaigns)} campaigns in {house.settings.workspace.name}/, as `carillon init` makes them"
    )
    if data is None:
        shop = make_shop(contacts, from_micros(begins), seed)
        told.line(
            f"{len(shop.contacts['id']):,} contacts and {len(shop.orders):,} orders of a year, made up (seed {seed})"
        )
    else:
        try:
            shop, weeks = retail_shop(data, from_micros(begins), seed)
        except NoRetailError as error:
            raise DemoError(str(error)) from error
        told.line(f"{len(shop.contacts['id']):,} customers and {len(shop.orders):,} orders of Online Retail I and II")
        told.line(f"real orders, moved by {weeks} weeks; addresses and consents are made up (seed {seed})", "dim")
    return shop, write_files(shop, house.settings.root / "shop")


def _import(told: Told, house: Opened, files: list[ImportFile], at: Micros) -> None:
    rows, seconds = 0, 0.0
    columns = (TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.fields[rows]:,} rows"))
    with Progress(*columns, console=told.console, transient=True) as bar:
        for file in files:
            task = bar.add_task(file.path.name, total=1.0, rows=0)
            done = bring_in(house.store, house.loaded, file, at, partial(_show_progress, bar, task))
            bar.remove_task(task)
            kept = ", ".join(f"{n:,} {what}" for what, n in done.counts.items() if n)
            beside = f"; {done.left_out:,} values left out, see {file.path.name}.refused.csv" if done.left_out else ""
            told.line(f"carillon import {file.kind} shop/{file.path.name}: {kept}{beside}")
            rows, seconds = rows + done.rows, seconds + done.seconds
    told.line(f"{rows:,} rows in {seconds:.1f} s, {round(rows / seconds):,} a second", "dim")


def _show_progress(bar: Progress, task: TaskID, share: float, rows: int) -> None:
    bar.update(task, completed=share, rows=rows)


def _check_and_plan(told: Told, house: Opened, now: str) -> None:
    from carillon.cli.plan import foresee
    from carillon.foresight.screen import show

    checked = check_workspace(house.settings.workspace, env=None, proofs=None)
    if checked.problems:
        told.console.print(escape(render(checked.problems, checked.sources)))
    told.line(f"{len(checked.campaigns)} campaigns: {'all good' if not checked.problems else 'see above'}.")
    told.console.print()
    show(told.console, *foresee(house, SALE, now))


# ---------------------------------------------------------------------------------------------------------------- run


def _run(told: Told, stack: ExitStack, house: Opened, shop: Shop, span: tuple[Micros, Micros], api_url: str) -> None:
    settings = house.settings
    around = stack.enter_context(town(settings, house.store, house.loaded.data, _behaviour(settings, shop), span[0]))
    log = prefect.prefect_home(settings) / "rehearsal.log"
    flow = stack.enter_context(rehearsal(SALE, prefect.environment(settings, api_url), settings.root, log))
    told.line(f"Prefect's UI, while this runs: {api_url.removesuffix('/api')}", "dim")
    zone = ZoneInfo(house.loaded.workspace.timezone)
    Days(SALE, house.store, flow, around, shop.coming, zone).live(told, *span)


def _behaviour(settings: Settings, shop: Shop) -> Behaviour:
    """How people behave, by the file in the demo's folder; their orders bear the shop's own ids and currency."""
    addresses = {
        address: who
        for column in ("email", "phone")
        for who, address in zip(shop.contacts["id"], shop.contacts[column], strict=True)
        if address and who
    }
    written = load_behaviour(settings.root / "behaviour.yaml")
    return replace(written, people=addresses, orders=replace(written.orders, currency=shop.currency))


# ------------------------------------------------------------------------------------------------------------- report


def _report(told: Told, house: Opened, at: Micros) -> None:
    from carillon.journey.ground import load_ground
    from carillon.reports.build import build_report
    from carillon.reports.page import page
    from carillon.reports.terminal import show

    ground = load_ground(house.store, SALE, at)
    with house.store.read() as connection:
        built = build_report(connection, ground)
    show(told.console, built)
    (house.settings.root / "report.html").write_text(page(built), encoding="utf-8")


def _farewell(told: Told, folder: Path, seconds: float) -> None:
    parts = ", ".join(f"{title.lower()} {s:.0f} s" for title, s in told.seconds.items())
    told.console.print(f"\n{seconds:.0f} s in all: {escape(parts)}.", style="dim")
    told.console.print(f"{folder}/report.html is the report; {folder}/shop/ are the files that were imported.")
    told.console.print("Prefect with its runs, the inbox and the web open with:")
    told.console.print(f"cd {folder} && carillon up", style="bold")
