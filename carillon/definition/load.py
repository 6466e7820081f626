"""A folder of YAML → the checked definition, and every problem in it at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from carillon.definition.build_campaign import CampaignContext, build_campaign
from carillon.definition.build_conditions import Names, condition_of
from carillon.definition.build_data import build_data
from carillon.definition.build_workspace import build_workspace
from carillon.definition.campaign_words import CampaignWords
from carillon.definition.field_tests import Typing
from carillon.definition.message_files import read_messages
from carillon.definition.model import Campaign, Data, MessageSource, Segment, SourceText, Workspace
from carillon.definition.nodes import Map, Node, Text
from carillon.definition.scalars import NAME_PATTERN, Reading, is_name
from carillon.definition.source import read_source
from carillon.definition.tree import Tree, read_tree, shown_text
from carillon.definition.words import M, read
from carillon.definition.workspace_words import DataWords, SegmentFileWords, WorkspaceWords
from carillon.kernel.problems import Position, Problem, in_order


@dataclass(slots=True)
class Loaded:
    """A workspace as it stands in its files. What has errors may be incomplete: ask `errors_of` before using it."""

    root: Path
    workspace: Workspace
    data: Data
    values: Mapping[str, str]
    segments: Mapping[str, Segment]
    campaigns: dict[str, Campaign]
    messages: dict[str, Mapping[str, MessageSource]]
    """Campaign → message → its files."""
    shared: Mapping[str, SourceText]
    """Layouts and blocks by their path below `shared/`."""
    problems: list[Problem]
    sources: Mapping[str, str] = field(repr=False, default_factory=dict)
    """File → its text, for rendering problems."""
    label: str = "campaigns"

    @property
    def errors(self) -> list[Problem]:
        """All problems that forbid applying something."""
        return [problem for problem in self.problems if problem.severity == "error"]

    def errors_of(self, campaign: str) -> list[Problem]:
        """The errors that concern a campaign: its own, and those of the files that all campaigns share."""
        others = [f"{self.label}/{name}/" for name in self.messages if name != campaign]
        return [problem for problem in self.errors if not problem.position.file.startswith(tuple(others))]


@dataclass(slots=True)
class Common:
    """What all campaigns share, read once."""

    tree: Tree
    workspace: Workspace
    data: Data
    values: Mapping[str, Text]
    segments: dict[str, Segment]
    shared: dict[str, SourceText]
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
        )


@dataclass(slots=True)
class CampaignFiles:
    """One campaign's folder as read; `campaign` is None where too little of it could be read."""

    campaign: Campaign | None
    messages: Mapping[str, MessageSource]
    problems: list[Problem]


def load_workspace(path: Path, *, env: str | None = None) -> Loaded:
    """The whole workspace; never raises for what stands in its files. `env` lays workspace.ENV.yaml over workspace.yaml."""
    tree = read_tree(path)
    common = load_common(tree, env)
    folders = {name: load_campaign(name, common) for name in tree.campaigns()}
    problems = in_order([*common.problems, *(problem for folder in folders.values() for problem in folder.problems)])
    return Loaded(
        root=path,
        workspace=common.workspace,
        data=common.data,
        values={name: str(value) for name, value in common.values.items()},
        segments=common.segments,
        campaigns={name: folder.campaign for name, folder in folders.items() if folder.campaign is not None},
        messages={name: folder.messages for name, folder in folders.items()},
        shared=common.shared,
        problems=problems,
        sources=sources_of(tree, problems),
        label=tree.label,
    )


def sources_of(tree: Tree, problems: list[Problem]) -> dict[str, str]:
    """The texts of the files that problems stand in."""
    wanted = {problem.position.file for problem in problems}
    return {tree.shown(path): shown_text(raw) for path, raw in tree.files.items() if tree.shown(path) in wanted}


# ---------------------------------------------------------------- what all campaigns share


def load_common(tree: Tree, env: str | None) -> Common:
    """workspace.yaml and its overlay, data.yaml, values.yaml, segments and shared texts."""
    problems: list[Problem] = []
    values = _values(tree, problems)
    data_reading = Reading("DAT", values, problems)
    data = build_data(_file(tree, "data.yaml", DataWords, data_reading), data_reading)
    reading = Reading("WSP", values, problems)
    root = _overlaid(tree, env, reading)
    words = read(WorkspaceWords, root, reading)[0] if root is not None else None
    common = Common(tree, _empty_workspace(), data, values, {}, _shared(tree), problems)
    if words is not None:
        names = common.names(reading)
        common.workspace = build_workspace(words, names, tree.shown("workspace.yaml"))
    _segments(common)
    _strays(tree, problems)
    return common


def _empty_workspace() -> Workspace:
    return Workspace("", "UTC", "EUR", "", {"en": ()}, "", {}, {})


def _parsed(tree: Tree, path: str, problems: list[Problem]) -> Node | None:
    source = read_source(tree.files[path], tree.shown(path))
    problems.extend(source.problems)
    if source.root is None and not source.problems:
        problems.append(Problem(Position(source.file), "YAML117", "the file is empty"))
    return source.root


def _file(tree: Tree, path: str, model: type[M], reading: Reading) -> M | None:
    root = _parsed(tree, path, reading.problems) if path in tree.files else None
    return read(model, root, reading)[0] if root is not None else None


def _values(tree: Tree, problems: list[Problem]) -> dict[str, Text]:
    root = _parsed(tree, "values.yaml", problems) if "values.yaml" in tree.files else None
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
    root = _parsed(tree, "workspace.yaml", reading.problems)
    overlay = f"workspace.{env}.yaml"
    if env is None or overlay not in tree.files or not isinstance(root, Map):
        return root
    above = _parsed(tree, overlay, reading.problems)
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

_FOLDERS = ("segments", "shared", "coupons")
_UNREAD = (".md", ".csv")


def _strays(tree: Tree, problems: list[Problem]) -> None:
    campaigns = set(tree.campaigns())
    reading = Reading("WSP", {}, problems)
    for path in tree.files:
        folder, _, rest = path.partition("/")
        if path.endswith(_UNREAD) or (rest and (folder in campaigns or folder in ("shared", "coupons"))):
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


# ---------------------------------------------------------------- one campaign


def load_campaign(name: str, common: Common) -> CampaignFiles:
    """One campaign's folder."""
    tree = common.tree
    problems: list[Problem] = []
    path = f"{name}/campaign.yaml"
    texts = {tree.shown(file): raw for file, raw in tree.below(f"{name}/messages").items()}
    message_reading = Reading("MSG", common.values, problems)
    messages = read_messages(texts, common.workspace.languages, message_reading)
    reading = Reading("CAR", common.values, problems)
    if not is_name(name):
        reading.note(Position(tree.shown(path)), 3, f'"{name}" is not a name for a campaign', NAME_PATTERN.strip("^$"))
    campaign, whole = None, False
    root = _parsed(tree, path, problems)
    if root is not None:
        words, whole = read(CampaignWords, root, reading)
        if words is not None:
            around = CampaignContext(name, tree.shown(path), common.workspace, messages)
            campaign = build_campaign(words, common.names(reading), around)
            if whole:  # a step that could not be read may send it
                _unread_messages(around.sent, messages, message_reading)
    for file in tree.below(name):
        if file != path and not file.startswith(f"{name}/messages/") and not file.endswith(_UNREAD):
            reading.note(
                Position(tree.shown(file)),
                10,
                "nothing reads this file",
                f"messages stand in {name}/messages/",
                warning=True,
            )
    return CampaignFiles(campaign if whole else None, messages, problems)


def _unread_messages(sent: set[str], messages: Mapping[str, MessageSource], reading: Reading) -> None:
    for message, source in messages.items():
        if message in sent:
            continue
        designs = (source.mjml, source.html, source.txt, source.sms)
        paths = [words.path for words in source.words.values()]
        for path in [*paths, *(text.path for design in designs for text in design.values())]:
            reading.note(Position(path), 10, f'no step sends the message "{message}"', warning=True)
