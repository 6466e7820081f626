"""The files of a workspace, read once: what stands where, before anyone looks inside."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MOST_FILE_BYTES = 5_000_000
_TEXT = (".yaml", ".yml", ".mjml", ".html", ".htm", ".txt", ".liquid", ".css")


@dataclass(frozen=True, slots=True)
class Tree:
    """A workspace's files by their path below it (`spring_sale/campaign.yaml`), with their content where it is text."""

    root: Path
    label: str
    files: Mapping[str, bytes]

    def shown(self, path: str) -> str:
        """The path as problems name it: `campaigns/spring_sale/campaign.yaml`."""
        return f"{self.label}/{path}" if path else self.label

    def below(self, folder: str) -> dict[str, bytes]:
        """The files below a folder, by their path in the workspace."""
        return {path: raw for path, raw in self.files.items() if path.startswith(folder + "/")}

    def campaigns(self) -> list[str]:
        """The folders that hold a campaign.yaml."""
        return sorted(
            path.split("/")[0] for path in self.files if path.count("/") == 1 and path.endswith("/campaign.yaml")
        )

    def segments(self) -> dict[str, str]:
        """Segment → its file."""
        files = [path for path in self.below("segments") if path.endswith(".yaml") and path.count("/") == 1]
        return {path.removeprefix("segments/").removesuffix(".yaml"): path for path in sorted(files)}


def read_tree(root: Path) -> Tree:
    """All visible files below `root`; unreadable ones are left out."""
    return Tree(root, _label(root), dict(_files(root)))


def _label(root: Path) -> str:
    return root.name if root.is_absolute() else root.as_posix().rstrip("/")


def _files(root: Path) -> Iterator[tuple[str, bytes]]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__pycache__")
        below = Path(folder).relative_to(root)
        for name in sorted(names):
            if not name.startswith("."):
                path = (below / name).as_posix()
                yield path, _content(Path(folder) / name) if name.endswith(_TEXT) else b""


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MOST_FILE_BYTES)
    except OSError:
        return b""


def shown_text(raw: bytes) -> str:
    """The text of a file as a problem's source line shows it, whatever its encoding."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")
