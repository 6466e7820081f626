"""The report as one HTML page that needs nothing beside it: no script, no font, no network."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from carillon.kernel.clock import clock_time
from carillon.reports import sentences as say
from carillon.reports.charts import interval_chart
from carillon.reports.model import Report


@cache
def environment() -> Environment:
    """Where our pages are made: everything is escaped, a name that is not given is an error."""
    environment = Environment(
        loader=PackageLoader("carillon.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.globals |= {"say": say, "clock_time": clock_time}
    environment.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
    return environment


def page(report: Report) -> str:
    """The whole page; everything that strangers wrote is escaped."""
    charts = {}
    for question in report.questions:
        svg = interval_chart(question.result, question.result.metric)
        if svg is not None:
            charts[question.result.experiment] = Markup(
                svg
            )  # our own drawing of numbers; names in it are escaped by Vega
    return environment().get_template("report.html").render(report=report, charts=charts)
