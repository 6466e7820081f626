"""Which column is which field: by name, by `--map field=Column`, or from a saved mapping file.

A mapping file is YAML with the keys `columns` (field: Column, or `total: Quantity * Price`), `event`, `zone`, `dates`,
`decimal_comma`, `country`, `encoding`, `delimiter`, `ignore` (columns to leave out) and `ignore_others`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from carillon.kernel.problems import did_you_mean, nearest
from carillon.people.fields import word


class MappingError(ValueError):
    """The columns of the file cannot be read as fields; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """How the file is written and what its columns mean, as far as it was told."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """field → column, or two columns with a star between them."""
    event: str | None = None
    """The kind of all events of the file."""
    zone: str | None = None
    dates: str | None = None
    decimal_comma: bool = False
    country: str | None = None
    """Of contacts and telephone numbers that name none."""
    encoding: str | None = None
    delimiter: str | None = None
    ignore: Sequence[str] = ()
    ignore_others: bool = False


def read_mapping(path: Path) -> Source:
    """A saved mapping; raises MappingError, naming the file and the nearest key."""
    import yaml

    try:
        found = yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader)  # texts only: NO is Norway
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MappingError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise MappingError(f"{path}: a mapping file has keys such as columns, event and zone")
    known = Source.__dataclass_fields__
    for name in found:
        if name not in known:
            raise MappingError(f"{path}: no key {name!r}; {did_you_mean(str(name), known)}")
    for name in ("decimal_comma", "ignore_others"):
        if name in found:
            found[name] = str(found[name]).lower() == "true"
    return Source(**found)


def write_mapping(path: Path, source: Source) -> None:
    """Save what was told, without what was not."""
    import yaml

    told = {name: value for name, value in asdict(source).items() if value}
    path.write_text(yaml.safe_dump(told, sort_keys=False, allow_unicode=True), "utf-8")


def over(saved: Source, told: Source) -> Source:
    """The saved mapping with what was told on the command line laid over it."""
    changes: dict[str, Any] = {
        name: value for name in Source.__dataclass_fields__ if (value := getattr(told, name)) and name != "columns"
    }
    return replace(saved, **changes, columns={**saved.columns, **told.columns})


@dataclass(frozen=True, slots=True)
class Bound:
    """field → the columns it is read from: one, or two that are multiplied."""

    fields: Mapping[str, tuple[str, ...]]

    def column_of(self, name: str) -> str:
        """The column as the file calls it, for messages."""
        return " * ".join(self.fields.get(name, (name,)))


def bind(header: Iterable[str], known: Iterable[str], aliases: Mapping[str, str], source: Source) -> Bound:
    """Find a field for every column; raises MappingError with all columns that have none, and what to do about it."""
    columns, fields = list(header), list(known)
    found: dict[str, tuple[str, ...]] = {}
    problems: list[str] = []
    for name, written in source.columns.items():
        parts = tuple(part.strip() for part in written.split(" * ")) if written not in columns else (written,)
        if name not in fields:
            problems.append(f"--map {name}={written}: no field {name!r}; {did_you_mean(name, fields)}")
        missing = [part for part in parts if part not in columns]
        problems += [f"--map {name}={written}: no column {part!r}; {did_you_mean(part, columns)}" for part in missing]
        found[name] = parts
    used = {part for parts in found.values() for part in parts}
    for column in columns:
        name = _plain(column)
        name = name if name in fields else aliases.get(name, name)
        if column in used or column in source.ignore:
            continue
        if name in fields and name not in found:
            found[name] = (column,)
        elif not source.ignore_others:
            problems.append(_strange(column, name, fields))
    if problems:
        raise MappingError("\n".join(problems))
    return Bound(found)


def require(bound: Bound, names: Mapping[str, str]) -> None:
    """Raise MappingError where a field that every row needs has no column; `names` says what each is for."""
    missing = [
        f"no column for {name} ({what}): --map {name}=COLUMN"
        for name, what in names.items()
        if name not in bound.fields
    ]
    if missing:
        raise MappingError("\n".join(missing))


def _strange(column: str, name: str, fields: list[str]) -> str:
    near = nearest(name, fields)
    is_it = f"is it {near}? then --map {near}={column}; " if near else ""
    return (
        f"column {column!r} is declared nowhere in data.yaml: {is_it}"
        f"declare it, or leave it out with --ignore {_quoted(column)} (all such: --ignore-others)"
    )


def _quoted(column: str) -> str:
    return f'"{column}"' if " " in column else column


def _plain(column: str) -> str:
    return word(column).lower().replace(" ", "_").replace("-", "_")
