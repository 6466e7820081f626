"""What a template names: the columns it needs, what lacks a default, what crosses its parts, and which words are wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from liquid import BoundTemplate, Node, RenderContext
from liquid.ast import ConditionalBlockNode
from liquid.builtin.expressions import FilteredExpression, LoopExpression, Path
from liquid.builtin.expressions.primitive import IntegerLiteral, RangeLiteral
from liquid.builtin.tags.case_tag import CaseNode
from liquid.builtin.tags.for_tag import ForNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.expression import Expression
from liquid.static_analysis import TemplateAnalysis

from carillon.messages.liquid import MOST_ROUNDS

PERSONAL = ("contact", "trigger", "answer", "coupon")
"""Roots whose fields differ from person to person: their first two words are a column."""

CONSTANT = ("t", "values", "brand", "links", "currency", "locale")

STATEFUL = frozenset({"cycle", "increment", "decrement", "ifchanged"})
"""Tags that remember something from one part of a template to the next."""


@dataclass(frozen=True, slots=True)
class Names:
    """What one node reads and writes."""

    columns: tuple[str, ...]
    reads: frozenset[str]
    """Roots that it looks up outside itself."""
    writes: frozenset[str]
    tags: frozenset[str]
    whole_roots: tuple[str, ...]
    """Personal roots named without a field: `{{ contact }}`, `contact[x]`."""


def names_of(template: BoundTemplate, nodes: Sequence[Node]) -> Names:
    """What these nodes of the template name, taken as one."""
    found = analyse(template, nodes)
    columns, whole = dict[str, None](), dict[str, None]()
    for root in PERSONAL:
        for variable in found.globals.get(root, ()):
            if len(variable.segments) > 1 and isinstance(variable.segments[1], str):
                columns[f"{root}.{variable.segments[1]}"] = None
            else:
                whole[root] = None
    tags = frozenset(found.tags) | ({"continue_offset"} if _continues(nodes, template) else frozenset())
    return Names(tuple(columns), frozenset(found.globals), frozenset(found.locals), tags, tuple(whole))


def analyse(template: BoundTemplate, nodes: Sequence[Node]) -> TemplateAnalysis:
    """python-liquid's analysis of some of a template's nodes."""
    return BoundTemplate(template.env, list(nodes)).analyze(include_partials=False)


def _continues(nodes: Sequence[Node], template: BoundTemplate) -> bool:
    return any(
        isinstance(e, LoopExpression) and getattr(e.offset, "value", None) == "continue"
        for node in walk(nodes, template)
        for e in node.expressions()
    )


def walk(nodes: Iterable[Node], template: BoundTemplate) -> Iterator[Node]:
    """All nodes, depth first."""
    context = RenderContext(template)
    for node in nodes:
        yield node
        yield from walk(node.children(context), template)


# ---------------------------------------------------------------- words that are wrong


@dataclass(frozen=True, slots=True)
class Misnomer:
    """A name that means nothing here, at an offset of the template's source."""

    offset: int
    name: str
    among: tuple[str, ...]


def misnomers(template: BoundTemplate, known: Mapping[str, Iterable[str] | None]) -> Iterator[Misnomer]:
    """Names that stand in no vocabulary: `known` is root → its fields, None for any field."""
    for root, variables in template.analyze(include_partials=False).globals.items():
        fields = known.get(root, ())
        for variable in variables:
            if root not in known:
                yield Misnomer(variable.span.index, root, tuple(known))
            elif (
                fields is not None
                and len(variable.segments) > 1
                and variable.segments[1] not in (allowed := tuple(fields))
            ):
                yield Misnomer(
                    variable.span.index, f"{root}.{variable.segments[1]}", tuple(f"{root}.{f}" for f in allowed)
                )


def unbounded_ranges(template: BoundTemplate) -> Iterator[int]:
    """Offsets of ranges that could make a template run for minutes: python-liquid's limits do not count them."""
    for node in walk(template.nodes, template):
        for expression in node.expressions():
            yield from _ranges(expression)


def _ranges(expression: Expression) -> Iterator[int]:
    if isinstance(expression, RangeLiteral):
        ends = expression.start, expression.stop
        literal = [end.value for end in ends if isinstance(end, IntegerLiteral)]
        if len(literal) < 2 or literal[1] - literal[0] > MOST_ROUNDS:
            yield expression.token.start_index
    for child in expression.children():
        yield from _ranges(child)


# ---------------------------------------------------------------- what lacks a default


def required_paths(template: BoundTemplate) -> tuple[str, ...]:
    """Personal paths that must have a value: printed or looped over without `default`, and not asked for by an `if` around."""
    found = dict[str, None]()
    written = {str(name) for name in template.analyze(include_partials=False).locals}
    for path in _required(template.nodes, dict.fromkeys(written), frozenset(), RenderContext(template)):
        found[path] = None
    return tuple(found)


_Scope = Mapping[str, str | None]
"""Names that a loop or an assign gives: to the path that they stand for, or None."""


def _required(nodes: Iterable[Node], scope: _Scope, asked: frozenset[str], context: RenderContext) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, (IfNode, UnlessNode, CaseNode, ConditionalBlockNode)):
            inner = asked | {path for e in _conditions(node, context) for path in _paths(e, scope)}
            yield from _required(node.children(context), scope, inner, context)
        elif isinstance(node, ForNode):
            source = next(iter(_paths(node.expression.iterable, scope)), None)
            yield from (p for p in _unanswered(node.expression.iterable, scope) if p not in asked)
            inside = {**scope, str(node.expression.identifier): f"{source}[]" if source else None, "forloop": None}
            yield from _required(node.children(context), inside, asked, context)
        else:
            for expression in node.expressions():
                yield from (p for p in _unanswered(expression, scope) if p not in asked)
            yield from _required(node.children(context), scope, asked, context)


def _conditions(node: Node, context: RenderContext) -> Iterator[Expression]:
    yield from node.expressions()
    for child in node.children(context):
        if not isinstance(child, (IfNode, UnlessNode, CaseNode, ForNode)) and hasattr(child, "expression"):
            yield from child.expressions()


def _unanswered(expression: Expression, scope: _Scope) -> Iterator[str]:
    """Paths of an expression that fail where they are missing."""
    if not isinstance(expression, (FilteredExpression, Path)):
        return
    if isinstance(expression, FilteredExpression) and any(f.name == "default" for f in expression.filters or ()):
        return
    yield from _paths(expression, scope)


def _paths(expression: Expression, scope: _Scope) -> Iterator[str]:
    if isinstance(expression, Path):
        segments = [s for s in expression.path if isinstance(s, str)]
        root = segments[0] if segments else ""
        stands_for = scope.get(root) if root in scope else root if root in PERSONAL else None
        if stands_for is not None and len(segments) == len(expression.path):
            yield ".".join([stands_for, *[s for s in segments[1:] if s not in ("size", "first", "last")]])
    for child in expression.children():
        yield from _paths(child, scope)
