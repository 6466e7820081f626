"""YAML as text with places: every key and value knows where it stands and what holds it."""

from __future__ import annotations

from carillon.kernel.problems import Position


class Text(str):
    """A scalar. `absent`: nothing stands after the colon. `plain`: written without quotes."""

    __slots__ = ("absent", "at", "key", "parent", "plain")
    at: Position
    parent: Map | Seq | None
    key: Text | None
    plain: bool
    absent: bool


class Map(dict["Text", "Node"]):
    """A mapping; `key` is the key it stands under, if any; `taken` the keys that could not be read and were taken out."""

    __slots__ = ("at", "key", "parent", "taken")
    taken: list[str]
    at: Position
    parent: Map | Seq | None
    key: Text | None

    def key_at(self, name: str) -> Position:
        """Where the key stands; the mapping's own place where it does not."""
        return next((key.at for key in self if key == name), self.at)


class Seq(list["Node"]):
    """A list; `key` is the key it stands under, if any; `taken` as in a mapping."""

    __slots__ = ("at", "key", "parent", "taken")
    taken: list[str]
    at: Position
    parent: Map | Seq | None
    key: Text | None


Node = Text | Map | Seq


def remove(node: Node) -> bool:
    """Take a node out of what holds it, so that the rest can still be read; says whether something held it."""
    parent = node.parent
    if isinstance(parent, Seq):
        parent[:] = [child for child in parent if child is not node]
        parent.taken.append("")
    elif isinstance(parent, Map):
        for key in [key for key, child in parent.items() if child is node or key is node]:
            del parent[key]
            parent.taken.append(key)
    return parent is not None


def text_like(text: Text) -> Text:
    """A copy in the same place that nothing holds yet."""
    copy = Text(text)
    copy.at, copy.plain, copy.absent = text.at, text.plain, text.absent
    copy.parent = copy.key = None
    return copy
