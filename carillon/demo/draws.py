"""Draws from shares in [0, 1), columns of cells, and instants as text: what the parts of the generated shop stand on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

Shares = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Cell = str | None
DAY_S = 86_400


def pick(share: Shares, weights: Sequence[float]) -> Numbers:
    """The place in `weights` that each share falls on."""
    edges = np.cumsum(weights)
    return np.minimum(np.searchsorted(edges / edges[-1], share, side="right"), len(weights) - 1).astype(np.int64)


def chosen(options: Sequence[tuple[str, float]], share: float) -> str:
    """The option that a share falls on; the options' parts add up to one."""
    for name, part in options:
        if share < part:
            return name
        share -= part
    return options[-1][0]


def seconds(at: datetime) -> int:
    """The instant in whole seconds since 1970."""
    return int(at.timestamp())


def text(at: int) -> str:
    """Seconds as an instant in UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def texts(at: Numbers) -> list[Cell]:
    """Seconds as instants in UTC."""
    found: list[Cell] = np.datetime_as_string(at.astype("datetime64[s]"), timezone="UTC").tolist()
    return found
