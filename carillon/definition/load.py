"""A folder of YAML → the checked definition, and every problem in it at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from carillon.definition.amounts import check_amounts
from carillon.definition.build_campaign import CampaignContext, build_campaign
from carillon.definition.campaign_words import CampaignWords
from carillon.definition.confirming import confirmations
from carillon.definition.load_common import NOT_OURS, Common, load_common, parsed_file
from carillon.definition.message_files import read_messages
from carillon.definition.model import Campaign, Data, MessageSource, Segment, SourceText, Workspace
from carillon.definition.scalars import NAME_PATTERN, Reading, is_name
from carillon.definition.tree import Tree, read_tree, shown_text
from carillon.definition.words import read
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
    """Also those by which the workspace asks for a second yes (`confirming`)."""
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
    asking = {campaign.name: campaign for campaign in confirmations(common.workspace)}
    problems = in_order([*common.problems, *(problem for folder in folders.values() for problem in folder.problems)])
    return Loaded(
        root=path,
        workspace=common.workspace,
        data=common.data,
        values={name: str(value) for name, value in common.values.items()},
        segments=common.segments,
        campaigns={name: folder.campaign for name, folder in folders.items() if folder.campaign is not None} | asking,
        messages={name: folder.messages for name, folder in folders.items()} | dict.fromkeys(asking, common.messages),
        shared=common.shared,
        problems=problems,
        sources=sources_of(tree, problems),
        label=tree.label,
    )


def sources_of(tree: Tree, problems: list[Problem]) -> dict[str, str]:
    """The texts of the files that problems stand in."""
    wanted = {problem.position.file for problem in problems}
    return {tree.shown(path): shown_text(raw) for path, raw in tree.files.items() if tree.shown(path) in wanted}


# ---------------------------------------------------------------- one campaign


def load_campaign(name: str, common: Common) -> CampaignFiles:
    """One campaign's folder."""
    tree = common.tree
    problems: list[Problem] = []
    path = f"{name}/campaign.yaml"
    texts = {tree.shown(file): raw for file, raw in tree.below(f"{name}/messages").items()}
    message_reading = Reading("MSG", common.values, problems)
    messages = read_messages(texts, common.workspace.languages, message_reading)
    check_amounts({path: shown_text(raw) for path, raw in texts.items()}, common.workspace, message_reading)
    reading = Reading("CAR", common.values, problems)
    if not is_name(name):
        reading.note(Position(tree.shown(path)), 3, f'"{name}" is not a name for a campaign', NAME_PATTERN.strip("^$"))
    campaign, whole = None, False
    root = parsed_file(tree, path, problems)
    if root is not None:
        words, whole = read(CampaignWords, root, reading)
        if words is not None:
            around = CampaignContext(name, tree.shown(path), common.workspace, messages)
            campaign = build_campaign(words, common.names(reading), around)
            if whole:  # a step that could not be read may send it
                _unread_messages(around.sent, messages, message_reading)
    for file in tree.below(name):
        if file != path and not file.startswith(f"{name}/messages/") and not file.endswith(NOT_OURS):
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
        for path in source.paths:
            reading.note(Position(path), 10, f'no step sends the message "{message}"', warning=True)
