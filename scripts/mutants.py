"""The ways to change a module in one small place: what `scripts/mutate.py` tries one after the other.

The syntax tree says what could be changed, and the text is edited in place. Comparisons, ``and``/``or``, arithmetic, conditions, constants and
returned values are changed into others; calls for their effect, ``raise``, ``break``, ``continue``, ``del`` and assignments to attributes and
items are left out. Annotations, decorators, imports, docstrings, f-strings and prose (text with blanks in it) stay what they are.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPPOSITES = (
    (ast.Lt, ast.LtE),
    (ast.Gt, ast.GtE),
    (ast.Eq, ast.NotEq),
    (ast.Is, ast.IsNot),
    (ast.In, ast.NotIn),
    (ast.And, ast.Or),
    (ast.Add, ast.Sub),
    (ast.Mult, ast.Div),
    (ast.BitOr, ast.BitAnd),
    (ast.LShift, ast.RShift),
)
_SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    **{one: other for pair in _OPPOSITES for one, other in (pair, pair[::-1])},
    **dict.fromkeys((ast.FloorDiv, ast.Mod, ast.Pow), ast.Mult),
}
_CONDITIONS = (ast.Name, ast.Attribute, ast.Call)


class Edit(NamedTuple):
    """Replace the bytes ``start:end`` of a source by ``text``."""

    start: int
    end: int
    text: str

    def apply(self, source: bytes) -> bytes:
        """The source of the mutant."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def edits(source: bytes) -> list[Edit]:
    """Every way to change a module, in the order of its text; each compiles.

    >>> [edit.apply(b"f(a < 1)") for edit in edits(b"f(a < 1)")]
    [b'pass', b'f((a <= 1))', b'f(a < (2))']
    """
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found: set[Edit] = set()
    nodes: list[ast.AST] = [ast.parse(source)]
    while nodes:
        node = nodes.pop()
        nodes.extend(_parts(node))
        for old, new in _changes(node):
            text = ast.unparse(ast.fix_missing_locations(new))
            start = starts[old.lineno - 1] + old.col_offset
            end = starts[(old.end_lineno or 0) - 1] + (old.end_col_offset or 0)
            found.add(Edit(start, end, f"({text})" if isinstance(new, ast.expr) else text))
    return sorted(edit for edit in found if _compiles(edit.apply(source)))


def _changes(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, ast.AST]]:
    """Ways to change one node: the part to be replaced, and what by."""
    if isinstance(node, ast.expr):
        yield from ((node, other) for other in _other_expressions(node))
    elif isinstance(node, ast.stmt):
        yield from ((node, other) for other in _other_statements(node))
    if isinstance(node, ast.If | ast.While | ast.IfExp) and isinstance(node.test, _CONDITIONS) and not _is_for_type_checkers(node):
        yield node.test, ast.UnaryOp(ast.Not(), node.test)


def _other_expressions(node: ast.expr) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=ops):
            for i, op in enumerate(ops):
                yield _with(node, ops=[*ops[:i], _SWAPS[type(op)](), *ops[i + 1 :]])
        case ast.BoolOp(op=op) | ast.BinOp(op=op) if type(op) in _SWAPS:
            yield _with(node, op=_SWAPS[type(op)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.Constant(value=str() | bytes() | int() | float() as value) if (other := _other(value)) != value:
            yield ast.Constant(other)
        case _:
            return


def _other_statements(node: ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.AugAssign(op=op) if type(op) in _SWAPS:
            yield _with(node, op=_SWAPS[type(op)]())
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case (
            ast.Expr(value=ast.Call() | ast.Await() | ast.Yield() | ast.YieldFrom())
            | ast.Assign(targets=[ast.Attribute() | ast.Subscript()])
        ):
            yield ast.Pass()
        case ast.Raise() | ast.Continue() | ast.Break() | ast.Delete():
            yield ast.Pass()
        case _:
            return


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """The children of a node that may be changed."""
    match node:
        case ast.JoinedStr() | ast.arg() | ast.Expr(value=ast.Constant()) | ast.AnnAssign(value=None):
            return  # the parts of an f-string have no position before Python 3.12
        case ast.AnnAssign(annotation=ast.Name(id="TypeAlias")) | ast.Assign(targets=[ast.Name(id="__all__" | "__slots__")]):
            return
        case ast.AnnAssign(value=ast.expr() as value):
            yield value
        case ast.If(orelse=orelse) if _is_for_type_checkers(node):
            yield from orelse
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from (node.args, *node.body)
        case ast.ClassDef():
            yield from node.body
        case _:
            yield from ast.iter_child_nodes(node)


def _is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _with(node: ast.AST, **changes: object) -> ast.AST:
    """A shallow copy of a node with some fields changed."""
    return type(node)(**{name: getattr(node, name, None) for name in node._fields} | changes)


def _other(value: str | bytes | float) -> str | bytes | float:
    """Another value of the same type; the same for prose."""
    match value:
        case bool():
            return not value
        case str():
            return value if any(character.isspace() for character in value) else f"{value}X"
        case bytes():
            return value + b"X"
        case _:
            return value + 1


def _compiles(source: bytes) -> bool:
    """False for the few changes that grammar forbids (a number in a match pattern, say)."""
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True
