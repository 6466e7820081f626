"""Cutting a template into static texts and cells, and rendering some of its nodes.

A template is cut at its top-level nodes. What an earlier node assigns is made again, unseen, before a node that reads
it, so that `assign` and `capture` cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from liquid import BoundTemplate, Node, RenderContext
from liquid.ast import BlockNode
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.for_tag import ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.exceptions import LiquidError, LiquidInterrupt
from liquid.stringify import to_liquid_string

from carillon.kernel.spelling import Spell, as_it_is
from carillon.messages.cells import BranchCell, Cell, LoopCell, TupleCell
from carillon.messages.liquid import SkipMessage, reason_of
from carillon.messages.names import STATEFUL, Names, names_of
from carillon.messages.strung import Refusal, Text


@dataclass(slots=True)
class Cutter:
    """Cuts one parsed template; `constants` are what every rendering sees."""

    template: BoundTemplate
    constants: Mapping[str, Any]
    spell: Spell = as_it_is
    """How the texts of cells are written."""
    _outputs: dict[str, TupleCell] = field(default_factory=dict)

    def cut(self) -> list[str | Cell]:
        """Static texts and cells, in order."""
        nodes = self.template.nodes
        names = [names_of(self.template, [node]) for node in nodes]
        if sum(bool(n.tags & (STATEFUL | {"continue_offset"})) for n in names) > 1:
            return [self._tuple_cell(nodes, nodes, names_of(self.template, nodes))]
        parts = list[str | Cell]()
        for at, node in enumerate(nodes):
            if isinstance(node, ContentNode):
                parts.append(node.text)
                continue
            before = self._definers(nodes[:at], names[:at], names[at].reads)
            parts.append(self._cell(node, names[at], before))
        return _merged(parts)

    def _definers(self, nodes: Sequence[Node], names: Sequence[Names], reads: frozenset[str]) -> list[Node]:
        """Earlier nodes that write what is read, and what those read in turn."""
        needed, found = set(reads), list[Node]()
        for node, named in zip(reversed(nodes), reversed(names), strict=True):
            if named.writes & needed:
                found.append(node)
                needed |= named.reads
        return found[::-1]

    def _cell(self, node: Node, names: Names, before: list[Node]) -> Cell:
        if before:
            return self._tuple_cell([*before, node], [node], names_of(self.template, [*before, node]))
        if isinstance(node, OutputNode):
            return self._output_cell(node, names)
        whole = self._tuple_cell([node], [node], names)
        if not names.columns:
            return whole
        if names.writes or names.tags & (STATEFUL | {"continue_offset", "break", "continue"}):
            return whole
        if isinstance(node, ForNode):
            return self._loop_cell(node, whole) or whole
        if isinstance(node, IfNode) and not node.blank:
            return self._branch_cell(node)
        return whole

    def _tuple_cell(self, nodes: Sequence[Node], shown: Sequence[Node], names: Names) -> TupleCell:
        first_shown = len(nodes) - len(shown)

        def make(values: tuple[Any, ...]) -> Text:
            context = self.context(dict(zip(names.columns, values, strict=True)))
            return rendered(nodes, context, first_shown)

        return TupleCell(names.columns, make, self.spell)

    def context(self, values: Mapping[str, Any], names: Mapping[str, Any] | None = None) -> RenderContext:
        """A fresh context in which the paths have these values; None stays undefined."""
        roots: dict[str, Any] = {
            "contact": {},
            "trigger": {},
            "answer": {},
            "coupon": {},
            **self.constants,
            **(names or {}),
        }
        for path, value in values.items():
            if value is not None:
                root, _, name = path.partition(".")
                roots[root][name] = value
        return RenderContext(self.template, globals=roots)

    def _output_cell(self, node: OutputNode, names: Names) -> TupleCell:
        """One cell for all places that print the same; a bare one that is a text needs no Liquid."""
        source = str(node)
        if source not in self._outputs:
            cell = self._tuple_cell([node], [node], names)
            if _is_bare(node, names):
                cell.make = self._bare(cell.make)
            self._outputs[source] = cell
        return self._outputs[source]

    def _bare(self, slow: Callable[[tuple[Any, ...]], Text]) -> Callable[[tuple[Any, ...]], Text]:
        autoescape = self.template.env.autoescape

        def make(values: tuple[Any, ...]) -> Text:
            value = values[0]
            return str(to_liquid_string(value, autoescape)) if type(value) is str and value else slow(values)

        return make

    def _loop_cell(self, node: ForNode, whole: TupleCell) -> LoopCell | None:
        loop, item = node.expression, str(node.expression.identifier)
        inside = names_of(self.template, [node.block])
        path = loop.iterable.path if isinstance(loop.iterable, Path) else []
        simple = len(path) >= 2 and all(isinstance(s, str) and s not in ("size", "first", "last") for s in path)
        limit = getattr(loop.limit, "value", None)
        if not simple or len(whole.columns) != 1 or inside.columns or loop.reversed or loop.offset is not None:
            return None
        if node.blank or "forloop" in inside.reads or (loop.limit is not None and not isinstance(limit, int)):
            return None
        if limit is not None and limit < 1:
            return None

        def make_item(value: Any) -> Text:
            return rendered([node.block], self.context({}, {item: value}), 0)

        fields = _fields(self.template, node.block, item)
        return LoopCell(whole.columns[0], tuple(map(str, path[2:])), limit, fields, make_item, whole, self.spell)

    def _branch_cell(self, node: IfNode) -> BranchCell:
        conditions = [node.condition, *(alternative.expression for alternative in node.alternatives)]
        blocks = [node.consequence, *(alternative.block for alternative in node.alternatives)]
        asked = IfNode(node.token, node.condition, _empty(node), [], None)
        names = names_of(self.template, [asked, *(_asking(node, c) for c in conditions[1:])])

        def choose(values: tuple[Any, ...]) -> Text:
            context = self.context(dict(zip(names.columns, values, strict=True)))
            try:
                for number, condition in enumerate(conditions):
                    if condition.evaluate(context):
                        return str(number)
            except LiquidError as error:
                return Refusal(reason_of(error))
            return str(len(blocks)) if node.default else ""

        inner = [self._inside(block) for block in (*blocks, *([node.default] if node.default else []))]
        return BranchCell(TupleCell(names.columns, choose), inner)

    def _inside(self, block: BlockNode) -> list[str | Cell]:
        """The parts of a branch: what stands fixed in it is a person's text as well."""
        inner = Cutter(BoundTemplate(self.template.env, list(block.nodes)), self.constants, self.spell, self._outputs)
        return [self.spell(part) if isinstance(part, str) else part for part in inner.cut()]


def _is_bare(node: OutputNode, names: Names) -> bool:
    """`{{ contact.first_name }}`, also with a default: what is a text prints as it is."""
    expression = node.expression
    if not (isinstance(expression, FilteredExpression) and isinstance(expression.left, Path)):
        return False
    if any(one.name != "default" or len(one.args) != 1 for one in expression.filters or ()):
        return False
    return len(expression.left.path) == 2 and len(names.columns) == 1


def _empty(node: Node) -> BlockNode:
    return BlockNode(node.token, [])


def _asking(node: IfNode, condition: Any) -> IfNode:
    return IfNode(node.token, condition, _empty(node), [], None)


def _merged(parts: Iterable[str | Cell]) -> list[str | Cell]:
    found = list[str | Cell]()
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        else:
            found.append(part)
    return found


def rendered(nodes: Sequence[Node], context: RenderContext, first_shown: int) -> Text:
    """The text of the nodes from `first_shown` on; the ones before only set names."""
    unseen, shown = StringIO(), StringIO()
    try:
        for at, node in enumerate(nodes):
            node.render(context, shown if at >= first_shown else unseen)
    except SkipMessage as skip:
        return Refusal(str(skip), is_skip=True)
    except LiquidError as error:
        return Refusal(reason_of(error))
    except LiquidInterrupt as word:
        return Refusal(f"{word} outside a loop")
    return shown.getvalue()


def _fields(template: BoundTemplate, block: Node, item: str) -> tuple[str, ...] | None:
    """The fields of the item that the block names, None where it names the item as a whole."""
    found = BoundTemplate(template.env, [block]).analyze(include_partials=False)
    fields = dict[str, None]()
    for variable in found.globals.get(item, ()):
        if (
            len(variable.segments) < 2
            or not isinstance(variable.segments[1], str)
            or variable.segments[1] in ("size", "first", "last")
        ):
            return None
        fields[variable.segments[1]] = None
    return tuple(fields) or None
