"""What a run shows in a terminal while it works: the stage that it is in; of a hand-over people, pace and time left."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from carillon.advance.stages import Stage, people_in, settled
from carillon.delivery.model import WorkResult


class PaceColumn(ProgressColumn):
    """`12,004 of 50,000 · 4,210/s · 0:00:09 left`; nothing while there is nothing to count."""

    def render(self, task: Task) -> Text:
        if task.total is None:
            return Text()
        parts = [f"{int(task.completed):,} of {int(task.total):,}"]
        if task.speed:
            parts.append(f"{task.speed:,.0f}/s" if task.speed >= 10 else f"{task.speed:.1f}/s")
        if task.time_remaining is not None:
            parts.append(f"{timedelta(seconds=int(task.time_remaining))} left")
        return Text(" · ".join(parts))


def progress_bar(console: Console, *, is_silent: bool) -> Progress:
    """The bar of a command; nothing of it stays when the command is over."""
    columns = (TextColumn("{task.description}"), BarColumn(), PaceColumn())
    return Progress(*columns, console=console, transient=True, disable=is_silent)


class Watch:
    """Shows on a progress bar what the advance of one campaign is doing."""

    def __init__(self, bar: Progress, campaign: str) -> None:
        self._bar, self._campaign = bar, campaign
        self._task = bar.add_task(campaign, total=None)

    def perform(self, title: str, run: Callable[[], Stage], *, is_long: bool = False) -> Stage:
        """Run a stage of the advance under its title; a long one counts people."""
        if is_long:
            # A task of its own: the pace is that of this hand-over, not of what went before it.
            self.end()
            self._task = self._show(title.partition(": ")[0], people_in(title))
        else:
            self._bar.update(self._task, description=f"{self._campaign}: {title}")
        stage = run()
        if is_long:
            self.end()
            self._task = self._show("going on", None)
        return stage

    def progress(self, result: WorkResult) -> None:
        """Told after each batch that was settled."""
        self._bar.update(self._task, completed=settled(result.people))

    def end(self) -> None:
        """Show nothing of this campaign any more."""
        self._bar.remove_task(self._task)

    def _show(self, what: str, people: int | None) -> TaskID:
        return self._bar.add_task(f"{self._campaign}: {what}", total=people)
