"""Checking with a memory: what a folder's content has proved once is not read again.

A proof is keyed by the content of a campaign's folder, of everything that all campaigns share, the names of the other
campaigns and the engine itself. It holds the problems found, so that even a broken campaign is only read when it or
something it may name has changed. The file is safe to delete.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from carillon.definition.tree import Tree, read_tree, shown_text
from carillon.kernel.problems import Position, Problem, in_order


@dataclass(slots=True)
class Checked:
    """What `check` says about a workspace."""

    campaigns: list[str]
    problems: list[Problem]
    sources: Mapping[str, str]
    read_again: list[str]
    """The parts that had no proof: campaigns, and "" for what they share."""


def check_workspace(root: Path, *, env: str | None, proofs: Path | None) -> Checked:
    """All problems of the workspace; with `proofs`, what was proved before is not parsed again."""
    tree = read_tree(root)
    remembered = _remembered(proofs)
    keys = _keys(tree, env)
    stale = [part for part, key in keys.items() if key not in remembered]
    found = {key: remembered[key] for key in keys.values() if key in remembered}
    if stale:
        found |= {keys[part]: problems for part, problems in _read(tree, env, stale).items()}
        _remember(proofs, found)
    problems = in_order(problem for key in keys.values() for problem in found[key])
    wanted = {problem.position.file for problem in problems}
    sources = {tree.shown(path): shown_text(raw) for path, raw in tree.files.items() if tree.shown(path) in wanted}
    return Checked(tree.campaigns(), problems, sources, stale)


def _read(tree: Tree, env: str | None, stale: Iterable[str]) -> dict[str, list[Problem]]:
    # imported late: with all proofs at hand neither pydantic nor the models are needed
    from carillon.definition.load import load_campaign
    from carillon.definition.load_common import load_common

    common = load_common(tree, env)
    shared = list(common.problems)
    return {part: load_campaign(part, common).problems if part else shared for part in stale}


def _keys(tree: Tree, env: str | None) -> dict[str, str]:
    campaigns = tree.campaigns()
    folders = tuple(f"{name}/" for name in campaigns)
    facts = hashlib.blake2b(digest_size=20)
    _add(facts, _engine(), env or "", tree.label, *campaigns)
    _add(facts, *(path for path in tree.files if not path.startswith(folders)))
    for path, raw in tree.files.items():
        if not path.startswith(folders):
            _add(facts, path, raw)
    keys = {"": facts.hexdigest()}
    for name in campaigns:
        folder = facts.copy()
        for path, raw in tree.below(name).items():
            _add(folder, path, raw)
        keys[name] = folder.hexdigest()
    return keys


def _add(digest: hashlib.blake2b, *parts: str | bytes) -> None:
    for part in parts:
        raw = part if isinstance(part, bytes) else part.encode()
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)


@cache
def _engine() -> str:
    """What the engine's own files are: a proof by another engine proves nothing."""
    here = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=16)
    for folder in (here, here.parent / "kernel"):
        for path in sorted(folder.glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _remembered(proofs: Path | None) -> dict[str, list[Problem]]:
    if proofs is None or not proofs.exists():
        return {}
    try:
        stored = json.loads(proofs.read_text(encoding="utf-8"))
        return {key: [_problem(one) for one in problems] for key, problems in stored.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _problem(stored: dict[str, Any]) -> Problem:
    return Problem(**{**stored, "position": Position(**stored["position"])})


def _remember(proofs: Path | None, found: Mapping[str, list[Problem]]) -> None:
    """Keep what holds for the present files only; a folder that cannot be written costs speed, nothing else."""
    if proofs is None:
        return
    text = json.dumps({key: [asdict(problem) for problem in problems] for key, problems in found.items()})
    try:
        proofs.parent.mkdir(parents=True, exist_ok=True)
        beside = proofs.with_suffix(f".{os.getpid()}.tmp")
        beside.write_text(text, encoding="utf-8")
        beside.replace(proofs)
    except OSError:
        return
