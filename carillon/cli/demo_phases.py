"""The phases of the demo in their order; each does what a command of its own would do, and says how long it took."""

from __future__ import annotations

import json
import shutil
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from hashlib import blake2b
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from carillon.assembly import open_house, running_sandbox
from carillon.cli import prefect_side as prefect
from carillon.cli.init import starter
from carillon.cli.opened import Opened
from carillon.cli.plan import apply_all
from carillon.cli.schema import write_schemas
from carillon.definition.load import load_workspace
from carillon.definition.model import At
from carillon.definition.proved import check_workspace
from carillon.demo.files import ImportFile, write_files
from carillon.demo.importing import bring_in
from carillon.demo.rehearsal import BrokenRehearsalError, Rehearsal, rehearsal
from carillon.demo.retail import NoRetailError, retail_shop
from carillon.demo.servers import Town, town
from carillon.demo.shop import Order, Shop, make_shop
from carillon.kernel.clock import DAY, HOUR, Micros, from_micros, to_micros
from carillon.kernel.problems import render
from carillon.settings import KEY_FILE, Settings, read_settings

SALE = "spring_sale"
EVENING_BEFORE = timedelta(hours=12)
"""So long before the sale's hour the demo imports, plans and applies."""
DAYS = 15
"""Virtual days: all planned looks of the test lie within."""
PAUSE = HOUR
"""Runs of the campaign keep at least this virtual distance, for the sake of the demo's real time."""
MARK = "demo.json"
SHOWN = ("take people in", "choose the leader", "judge")
HERE = Path(__file__).parent


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why and what to do."""


@dataclass(slots=True)
class Told:
    """What is printed, and how long each phase took."""

    console: Console
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, title: str) -> Iterator[None]:
        """Print the title, and measure what happens inside."""
        self.console.print(f"\n[bold cyan]{escape(title)}[/]")
        began = time.perf_counter()
        yield
        self.seconds[title] = time.perf_counter() - began

    def line(self, text: str, style: str = "") -> None:
        self.console.print(Padding(Text(text, style=style), (0, 0, 0, 2)))


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
    from carillon.sandbox.behaviour import load_behaviour

    addresses = {
        address: who
        for column in ("email", "phone")
        for who, address in zip(shop.contacts["id"], shop.contacts[column], strict=True)
        if address and who
    }
    behaviour = load_behaviour(house.settings.root / "behaviour.yaml")
    behaviour = replace(behaviour, people=addresses, orders=replace(behaviour.orders, currency=shop.currency))
    around = stack.enter_context(town(house.settings, house.store, house.loaded.data, behaviour, span[0]))
    log = prefect.prefect_home(house.settings) / "rehearsal.log"
    flow = stack.enter_context(rehearsal(SALE, prefect.environment(house.settings, api_url), house.settings.root, log))
    told.line(f"Prefect's UI, while this runs: {api_url.removesuffix('/api')}", "dim")
    _live(told, house, flow, around, _Coming(shop), span)


class _Coming:
    """The orders that come whatever is sent, handed out as time passes."""

    def __init__(self, shop: Shop) -> None:
        self._orders = shop.coming
        self._at = [to_micros(datetime.fromisoformat(order.at)) for order in shop.coming]
        self._next = 0

    def until(self, to: Micros) -> list[Order]:
        first, self._next = self._next, bisect_right(self._at, to)
        return self._orders[first : self._next]


def _live(
    told: Told, house: Opened, flow: Rehearsal, around: Town, coming: _Coming, span: tuple[Micros, Micros]
) -> None:
    """Run the campaign whenever it wants to run, and let the world go on in between, until the days are over."""
    zone, (begins, end) = ZoneInfo(house.loaded.workspace.timezone), span
    columns = (TextColumn("  {task.description}"), BarColumn(), TimeElapsedColumn())
    totals: dict[str, int] = {}
    now, runs = begins, 0
    with Progress(*columns, console=told.console, transient=True) as bar:
        task = bar.add_task("", total=(end - begins) / HOUR)
        while now < end:
            clock = f"{from_micros(now).astimezone(zone):%a %d %b %H:%M}"
            bar.update(task, completed=(now - begins) / HOUR, description=f"{clock}  the campaign runs")
            around.prepare(now)
            lines = flow.run(now)
            runs += 1
            told.line(f"{clock}  {_short(lines)}")
            then = min(max(_next_due(house, now), now + PAUSE), end)
            bar.update(task, description=f"{clock}  people read, click and order")
            for what, n in around.live_until(then, coming.until(then)).items():
                totals[what] = totals.get(what, 0) + n
            now = then
        around.prepare(end)
        told.line(f"{from_micros(end).astimezone(zone):%a %d %b %H:%M}  {_short(flow.run(end))}")
    said = ", ".join(f"{n:,} {what}" for what, n in totals.items() if n)
    told.line(f"{runs + 1} flow runs; told by the world: {said}", "dim")


def _short(lines: list[str]) -> str:
    """What a run did for people, without its counts of who got nothing: those stand in the report and in Prefect."""
    kept = [line for line in lines if line.startswith(SHOWN) or line.endswith(("accepted", "rejected", "unsure"))]
    return " · ".join(kept) or "nothing to hand over"


def _next_due(house: Opened, now: Micros) -> Micros:
    from carillon.advance.next_due import next_due
    from carillon.journey.ground import load_ground

    due = next_due(load_ground(house.store, SALE, now))
    return now + DAY if due is None else due


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
