"""Small faults that can be put into a module: each must make a test fail, or no test says what the place does.

Only code inside functions is changed (a function's code can be exchanged while everything else stays imported). Tables
at the top of a module and defaults of arguments are left alone, and so are docstrings and annotations.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any, Final, cast

Function = ast.FunctionDef | ast.Lambda

COMPARISONS: Final[dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
OPERATORS: Final[dict[type[ast.AST], type[ast.AST]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.USub: ast.UAdd,
}
WORDS: Final = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "startswith": "endswith",
    "endswith": "startswith",
    "bisect_left": "bisect_right",
    "bisect_right": "bisect_left",
    "partition": "rpartition",
    "find": "rfind",
    "rfind": "find",
}


@dataclass(frozen=True)
class Mutant:
    """One fault. `code` is the whole module with it; `function` the line its outermost function begins on."""

    line: int
    column: int
    function: int
    what: str
    code: CodeType


@dataclass(frozen=True)
class _Change:
    node: ast.AST
    field: str
    value: Any
    what: str


def mutants(text: str, file: str) -> Iterator[Mutant]:
    """Every fault of the module, in the order of the text."""
    tree = ast.parse(text)
    for function in _functions(tree):
        for change in _changes(function):
            kept = getattr(change.node, change.field)
            setattr(change.node, change.field, change.value)
            code = compile(ast.fix_missing_locations(tree), file, "exec")
            setattr(change.node, change.field, kept)
            place: Any = change.node if hasattr(change.node, "lineno") else function
            yield Mutant(place.lineno, place.col_offset, _first_line(function), change.what, code)


def _first_line(function: Function) -> int:
    """Where its code object says that it begins: with its first decorator."""
    decorators = function.decorator_list if isinstance(function, ast.FunctionDef) else []
    return min((each.lineno for each in decorators), default=function.lineno)


def _functions(node: ast.AST) -> Iterator[Function]:
    """The outermost functions and lambdas."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            yield child
        else:
            yield from _functions(child)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes whose value is used: no docstrings, annotations, defaults or decorators."""
    yield node
    skipped = (
        {"annotation", "returns", "decorator_list", "args"} if isinstance(node, ast.FunctionDef) else {"annotation"}
    )
    for name, value in ast.iter_fields(node):
        if name in skipped or (isinstance(node, ast.Lambda) and name == "args"):
            continue
        children = cast("list[Any]", value if isinstance(value, list) else [value])
        for child in children:
            if isinstance(child, ast.AST) and not _is_text(child) and not _is_cast(child):
                yield from _executed(child)
            elif isinstance(child, ast.Call) and len(child.args) == 2:
                yield from _executed(child.args[1])


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_cast(node: ast.AST) -> bool:
    """`cast` says something to the type checker only: its first argument means nothing."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "cast"


def _changes(function: Function) -> Iterator[_Change]:
    for node in _executed(function):
        yield from _of_operators(node)
        yield from _of_conditions(node)
        yield from _of_values(node)


def _of_operators(node: ast.AST) -> Iterator[_Change]:
    if isinstance(node, ast.Compare):
        for at, op in enumerate(node.ops):
            for other in COMPARISONS[type(op)]:
                ops = [*node.ops[:at], other(), *node.ops[at + 1 :]]
                yield _Change(node, "ops", ops, f"{type(op).__name__} -> {other.__name__}")
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign | ast.UnaryOp):
        other = OPERATORS.get(type(node.op))
        if other is not None:
            yield _Change(node, "op", other(), f"{type(node.op).__name__} -> {other.__name__}")


def _of_conditions(node: ast.AST) -> Iterator[_Change]:
    if isinstance(node, ast.If | ast.IfExp) and not isinstance(node.test, ast.Compare):
        yield _Change(node, "test", _negated(node.test), "condition negated")
    elif isinstance(node, ast.comprehension):
        for at, test in enumerate(node.ifs):
            if not isinstance(test, ast.Compare):
                ifs = [*node.ifs[:at], _negated(test), *node.ifs[at + 1 :]]
                yield _Change(node, "ifs", ifs, "filter negated")
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield _Change(node, "operand", _negated(node.operand), "not removed")
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield _Change(node, "value", ast.Constant(None), "call removed")


def _negated(test: ast.expr) -> ast.expr:
    return ast.UnaryOp(ast.Not(), test)


def _of_values(node: ast.AST) -> Iterator[_Change]:
    if isinstance(node, ast.Name) and node.id in WORDS:
        yield _Change(node, "id", WORDS[node.id], f"{node.id} -> {WORDS[node.id]}")
    elif isinstance(node, ast.Attribute) and node.attr in WORDS:
        yield _Change(node, "attr", WORDS[node.attr], f"{node.attr} -> {WORDS[node.attr]}")
    elif isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bool):
            yield _Change(node, "value", not value, f"{value} -> {not value}")
        elif isinstance(value, int | float):
            yield _Change(node, "value", value + 1, f"{value} -> {value + 1}")
        elif isinstance(value, str):
            yield _Change(node, "value", f"XX{value}XX", f"{value[:40]!a} -> XX…XX")
