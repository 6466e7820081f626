"""Charts as SVG, drawn without a browser or a network."""

from __future__ import annotations

import json
from typing import Any

from carillon.evaluation.model import Metric, TestResult

INK, ACCENT, QUIET = "#1d2433", "#2f6f5e", "#9aa3b2"


def interval_chart(result: TestResult, metric: Metric) -> str | None:
    """Each variant's difference from the control with its 95 % interval; None where there is nothing to compare."""
    rows = [c for c in result.comparisons if c.metric == metric]
    if not rows or all(c.interval.low == c.interval.high for c in rows):
        return None
    scale = 1 / 100 if metric == "revenue" else 100
    values = [
        {"arm": c.arm, "at": c.difference * scale, "low": c.interval.low * scale, "high": c.interval.high * scale}
        for c in rows
    ]
    unit = "money a person" if metric == "revenue" else "points"
    x: dict[str, Any] = {"type": "quantitative", "title": f"{metric}: difference from {result.arms[0].arm} ({unit})"}
    y = {"field": "arm", "type": "nominal", "title": None}
    zero = {"mark": {"type": "rule", "color": QUIET, "strokeDash": [4, 4]}, "encoding": {"x": {"datum": 0}}}
    bar = {
        "mark": {"type": "rule", "strokeWidth": 3, "color": ACCENT},
        "encoding": {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"}},
    }
    point = {
        "mark": {"type": "point", "filled": True, "size": 90, "color": INK},
        "encoding": {"y": y, "x": {**x, "field": "at"}},
    }
    return _svg({"data": {"values": values}, "layer": [zero, bar, point], "width": 520, "height": {"step": 34}})


def _svg(spec: dict[str, Any]) -> str:
    import vl_convert

    whole = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": "transparent",
        "config": {"font": "sans-serif", "axis": {"labelColor": INK, "titleColor": INK, "gridColor": "#eceff3"},
                   "view": {"stroke": None}},
        **spec,
    }  # fmt: skip
    drawn: str = vl_convert.vegalite_to_svg(json.dumps(whole), allowed_base_urls=[])
    return drawn
