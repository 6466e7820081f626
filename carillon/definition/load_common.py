"""What all campaigns of a workspace share: brand, data, values, segments, shared texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from carillon.definition.amounts import check_amounts
from carillon.definition.build_conditions import Names, condition_of
from carillon.definition.build_confirm import FOLDER as MESSAGES
from carillon.definition.build_confirm import check_confirmations, files_of_messages
from carillon.definition.build_coupons import check_files
from carillon.definition.build_data import build_data
from carillon.definition.build_workspace import build_workspace
from carillon.definition.field_tests import Typing
from carillon.definition.message_files import read_messages
from carillon.definition.model import Data, MessageSource, Segment, SourceText, Workspace
from carillon.definition.nodes import Map, Node, Text
from carillon.definition.scalars import NAME_PATTERN, Reading, is_name
from carillon.definition.source import read_source
from carillon.definition.tree import Tree, shown_text
from carillon.definition.words import M, read
from carillon.definition.workspace_words import DataWords, SegmentFileWords, WorkspaceWords
from carillon.kernel.problems import Position, Problem


@dataclass(slots=True)
class Common:
    """What all campaigns share, read once."""

    tree: Tree
    workspace: Workspace
    data: Data
    values: Mapping[str, Text]
    segments: dict[str, Segment]
    shared: dict[str, SourceText]
    messages: dict[str, MessageSource]
    """Those of the workspace itself."""
    problems: list[Problem]

    def names(self, reading: Reading) -> Names:
        """What conditions may name, with problems going to `reading`."""
        return Names(
            Typing(reading, ZoneInfo(self.workspace.timezone)),
            self.data.contact,
            self.data.events,
            frozenset(self.tree.segments()),
            frozenset(self.tree.campaigns()),
            frozenset(self.workspace.topics),
            pools=self.workspace.coupons,
        )


def load_common(tree: Tree, env: str | None) -> Common:
    """workspace.yaml and its overlay, data.yaml, values.yaml, segments and shared texts."""
    problems: list[Problem] = []
    values = _values(tree, problems)
    data_reading = Reading("DAT", values, problems)
    data = build_data(_file(tree, "data.yaml", DataWords, data_reading), data_reading)
    reading = Reading("WSP", values, problems)
    root = _overlaid(tree, env, reading)
    words = read(WorkspaceWords, root, reading)[0] if root is not None else None
    common = Common(tree, _empty_workspace(), data, values, {}, _shared(tree), {}, problems)
    if words is not None:
        names = common.names(reading)
        common.workspace = build_workspace(words, names, tree.shown("workspace.yaml"))
        check_files(words, tree.files, reading)
        common.messages = _messages(common)
        check_confirmations(words, common.workspace, common.messages, common.shared, reading)
        texts = {file.path: file.text for file in common.shared.values()}
        check_amounts(texts, common.workspace, Reading("MSG", values, problems))
    _segments(common)
    _strays(tree, problems)
    return common


def _messages(common: Common) -> dict[str, MessageSource]:
    files = {common.tree.shown(path): raw for path, raw in files_of_messages(common.tree).items()}
    reading = Reading("MSG", common.values, common.problems)
    return read_messages(files, common.workspace.languages, reading)


def _empty_workspace() -> Workspace:
    return Workspace("", "UTC", "EUR", "", {"en": ()}, "", {}, {})


def parsed_file(tree: Tree, path: str, problems: list[Problem]) -> Node | None:
    """The tree of one YAML file; an empty one is a problem."""
    source = read_source(tree.files[path], tree.shown(path))
    problems.extend(source.problems)
    if source.root is None and not source.problems:
        problems.append(Problem(Position(source.file), "YAML117", "the file is empty"))
    return source.root


def _file(tree: Tree, path: str, model: type[M], reading: Reading) -> M | None:
    root = parsed_file(tree, path, reading.problems) if path in tree.files else None
    return read(model, root, reading)[0] if root is not None else None


def _values(tree: Tree, problems: list[Problem]) -> dict[str, Text]:
    root = parsed_file(tree, "values.yaml", problems) if "values.yaml" in tree.files else None
    if root is None:
        return {}
    reading = Reading("DAT", {}, problems)
    if not isinstance(root, Map):
        reading.note(root.at, 3, "values.yaml is not a mapping", "sale_ends: 2027-01-03 23:59")
        return {}
    found = {}
    for name, value in root.items():
        if not is_name(name):
            reading.note(name.at, 3, f'"{name}" is not a name', "small letters, digits and _, beginning with a letter")
        elif not isinstance(value, Text) or value.absent:
            reading.note(name.at, 3, f'"{name}" is not a text', f"{name}: 2027-01-03 23:59")
        else:
            found[str(name)] = value
    return found


def _overlaid(tree: Tree, env: str | None, reading: Reading) -> Node | None:
    if "workspace.yaml" not in tree.files:
        message = f'no workspace stands in "{tree.label}"'
        at = Position(tree.shown("workspace.yaml"))
        reading.missing(at, f"{message}: there is no workspace.yaml", "carillon init DIR makes a new one")
        return None
    root = parsed_file(tree, "workspace.yaml", reading.problems)
    overlay = f"workspace.{env}.yaml"
    if env is None or overlay not in tree.files or not isinstance(root, Map):
        return root
    above = parsed_file(tree, overlay, reading.problems)
    if isinstance(above, Map):
        _lay_over(root, above)
    return root


def _lay_over(below: Map, above: Map) -> None:
    for key, value in above.items():
        under = below.get(key)
        if isinstance(under, Map) and isinstance(value, Map):
            _lay_over(under, value)
            continue
        below.pop(key, None)
        below[key], value.parent, key.parent = value, below, below


def _shared(tree: Tree) -> dict[str, SourceText]:
    return {
        path.removeprefix("shared/"): SourceText(tree.shown(path), shown_text(raw))
        for path, raw in tree.below("shared").items()
    }


# ---------------------------------------------------------------- segments


def _segments(common: Common) -> None:
    edges: dict[str, set[str]] = {}
    for name, path in common.tree.segments().items():
        reading = Reading("SEG", common.values, common.problems)
        at = Position(common.tree.shown(path))
        if not is_name(name):
            reading.note(at, 3, f'"{name}" is not a name for a segment', NAME_PATTERN.strip("^$"))
        words = _file(common.tree, path, SegmentFileWords, reading)
        if words is None:
            continue
        names = common.names(reading)
        title = str(words.title or name.replace("_", " ").capitalize())
        common.segments[name] = Segment(name, title, condition_of(words.who, names))
        edges[name] = names.used_segments
    for cycle in _cycles(edges):
        path = common.tree.segments()[cycle[0]]
        reading = Reading("SEG", {}, common.problems)
        reading.note(
            Position(common.tree.shown(path), 1, 1, 1, 2),
            5,
            f"the segment asks for itself: {' → '.join((*cycle, cycle[0]))}",
            suggestion="take one of them out of the circle",
        )


def _cycles(edges: Mapping[str, set[str]]) -> Iterator[tuple[str, ...]]:
    """Each circle once, beginning with its first name."""
    found: set[frozenset[str]] = set()
    done: set[str] = set()
    for start in sorted(edges):
        for cycle in _circles_from(start, (), edges, done):
            if frozenset(cycle) not in found:
                found.add(frozenset(cycle))
                first = cycle.index(min(cycle))
                yield cycle[first:] + cycle[:first]


def _circles_from(
    name: str, way: tuple[str, ...], edges: Mapping[str, set[str]], done: set[str]
) -> Iterator[tuple[str, ...]]:
    if name in way:
        yield way[way.index(name) :]
        return
    if name in done or len(way) > 200:
        return
    for following in sorted(edges.get(name, ())):
        yield from _circles_from(following, (*way, name), edges, done)
    done.add(name)


# ---------------------------------------------------------------- files that nothing reads

_FOLDERS = ("segments", "shared", "coupons", MESSAGES)
NOT_OURS = (".md", ".csv")
"""Endings of files that people keep beside their campaigns."""


def _strays(tree: Tree, problems: list[Problem]) -> None:
    campaigns = set(tree.campaigns())
    reading = Reading("WSP", {}, problems)
    for path in tree.files:
        folder, _, rest = path.partition("/")
        if path.endswith(NOT_OURS) or (rest and (folder in campaigns or folder in ("shared", "coupons", MESSAGES))):
            continue
        if not rest and (
            path in ("data.yaml", "values.yaml") or (path.startswith("workspace.") and path.endswith(".yaml"))
        ):
            continue
        if folder == "segments" and rest in {f"{name}.yaml" for name in tree.segments()}:
            continue
        reading.note(
            Position(tree.shown(path)), 10, "nothing reads this file", _where(path, folder, rest), warning=True
        )


def _where(path: str, folder: str, rest: str) -> str:
    if rest.startswith("campaign.") or (rest and folder not in _FOLDERS):
        return f"a campaign stands in {folder}/campaign.yaml"
    return "segments/NAME.yaml" if folder == "segments" else ""
