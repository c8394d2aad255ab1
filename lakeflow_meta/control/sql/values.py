"""Parts of checked expressions: brackets, casts, calls, and literals with a grammar. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from lakeflow_meta.control.sql.functions import json_steps
from lakeflow_meta.control.sql.kinds import (
    KIND_OF_TYPE,
    NUMBERS,
    Kind,
    RefusalError,
    Value,
    cast_tree,
    date_value,
    nothing,
    number_value,
    read_date,
    read_time,
    text_value,
    time_value,
    value,
)

SHIFT = "_shift"
"""A call of our own: a timestamp moved by a number of microseconds."""

_MICROSECONDS = {
    "SECOND": 1_000_000,
    "MINUTE": 60_000_000,
    "HOUR": 3_600_000_000,
    "DAY": 86_400_000_000,
    "WEEK": 604_800_000_000,
}
_MOST_MICROSECONDS = 10**17

_CASTS: dict[Kind, frozenset[str]] = {
    Kind.TEXT: frozenset({"STRING", "INT", "BIGINT", "DOUBLE", "BOOLEAN", "DATE"}),
    Kind.INTEGER: frozenset({"STRING", "INT", "BIGINT", "DOUBLE", "BOOLEAN"}),
    Kind.DOUBLE: frozenset({"STRING", "INT", "BIGINT", "DOUBLE"}),
    Kind.BOOLEAN: frozenset({"STRING", "INT", "BIGINT", "DOUBLE", "BOOLEAN"}),
    Kind.TIME: frozenset({"STRING", "DATE", "TIMESTAMP"}),
    Kind.DATE: frozenset({"STRING", "DATE", "TIMESTAMP"}),
    Kind.NOTHING: frozenset(KIND_OF_TYPE),
}


def wrapped(tree: exp.Expr) -> exp.Expr:
    """In brackets, where what stands around it could take it apart."""
    if isinstance(tree, exp.Binary | exp.Not | exp.Neg | exp.Between | exp.In):
        outer = exp.Paren(this=tree)
        outer.meta.update(tree.meta)
        return outer
    return tree


def negated(found: Value, typed: exp.Expr) -> Value:
    """NOT."""
    return value(exp.Not(this=wrapped(found.tree)), Kind.BOOLEAN, typed)


def call_tree(name: str, arguments: Sequence[Value], kind: Kind, typed: exp.Expr) -> Value:
    """A call of a function that is known to be allowed."""
    tree = exp.Anonymous(this=name, expressions=[argument.tree for argument in arguments])
    return value(tree, kind, typed)


def literal(node: exp.Literal) -> Value:
    """A literal as it was typed."""
    text = str(node.this)
    return text_value(text, node) if node.is_string else number_value(text, node)


def as_text(found: Value) -> Value:
    """Any value as CAST makes it a text."""
    return found if found.kind in (Kind.TEXT, Kind.NOTHING) else cast_tree(found, "STRING")


def convert(found: Value, type_name: str, typed: exp.Expr, *, safe: bool) -> Value:
    """CAST. Raises RefusalError for what has no meaning, or not the same one everywhere."""
    if found.text is not None and type_name in ("TIMESTAMP", "DATE"):
        return _time_literal(found.text, type_name, typed, safe=safe)
    if type_name not in _CASTS[found.kind]:
        what = "a text that is no literal" if found.kind is Kind.TEXT else str(found.kind)
        raise RefusalError(f"CAST of {what} AS {type_name} does not run here", typed)
    if KIND_OF_TYPE[type_name] is found.kind and type_name != "INT":
        return Value(found.tree, found.kind, typed)
    return cast_tree(Value(found.tree, found.kind, typed), type_name, safe=safe)


def _time_literal(text: str, type_name: str, typed: exp.Expr, *, safe: bool) -> Value:
    try:
        if type_name == "TIMESTAMP":
            return time_value(read_time(text, typed), typed)
        return date_value(read_date(text, typed), typed)
    except RefusalError:
        if not safe:
            raise
        return cast_tree(nothing(), type_name)


def number(found: Value, what: str) -> Value:
    """A number, or a number in quotes. Raises RefusalError."""
    if found.kind in NUMBERS or found.kind is Kind.NOTHING:
        return found
    raise RefusalError(f"{what} wants a number, not {found.kind}", found.typed, hint=_CAST_HINT)


_CAST_HINT = "write CAST(… AS BIGINT) or CAST(… AS DOUBLE)"


def interval(node: exp.Expr) -> int | None:
    """The microseconds of INTERVAL … or of a sum of them; None for anything else."""
    if isinstance(node, exp.Paren):
        return interval(node.this)
    if isinstance(node, exp.Add | exp.Sub):
        left, right = interval(node.this), interval(node.expression)
        if left is None or right is None:
            return None
        return left - right if isinstance(node, exp.Sub) else left + right
    return _one_interval(node) if isinstance(node, exp.Interval) else None


def _one_interval(node: exp.Interval) -> int:
    unit = node.args.get("unit")
    name = unit.name.upper() if isinstance(unit, exp.Var) else ""
    size = _MICROSECONDS.get(name) or _MICROSECONDS.get(name.removesuffix("S"))
    amount = node.this.name if isinstance(node.this, exp.Literal) else ""
    digits = amount.strip().removeprefix("-")
    if size is None or not (digits.isascii() and digits.isdigit()) or len(digits) > 9:
        units = ", ".join(_MICROSECONDS)
        hint = f"write INTERVAL 1 DAY; units: {units}; add_months(date, n) for months"
        raise RefusalError("this INTERVAL does not run here", node, hint=hint)
    found = int(amount) * size
    if abs(found) > _MOST_MICROSECONDS:
        raise RefusalError("this INTERVAL is too long", node)
    return found


def json_path(path: exp.Expr, typed: exp.Expr) -> str:
    """The path of ``column:path`` as get_json_object takes it. Raises RefusalError."""
    text = "$"
    for part in path.expressions if isinstance(path, exp.JSONPath) else ():
        if isinstance(part, exp.JSONPathRoot):
            continue
        inner = part.this
        match part:
            case exp.JSONPathKey() if isinstance(inner, str):
                text += f"['{inner}']"
            case exp.JSONPathSubscript() if isinstance(inner, int) and inner >= 0:
                text += f"[{inner}]"
            case exp.JSONPathSubscript() if isinstance(inner, str):
                text += f"['{inner}']"
            case _:
                raise RefusalError("this JSON path does not run here", typed)
    if text == "$":
        raise RefusalError("this JSON path does not run here", typed)
    json_steps(text)
    return text


def check_like(pattern: str, escape: str, typed: exp.Expr) -> None:
    """Spark refuses a pattern whose escape character stands before an ordinary one.

    https://docs.databricks.com/sql/language-manual/functions/like.html
    """
    position = 0
    while position < len(pattern):
        if pattern[position] == escape:
            position += 1
            if pattern[position : position + 1] not in ("%", "_", escape):
                hint = f"{escape!r} stands before %, _ or itself"
                raise RefusalError(f"the pattern {pattern!r} is wrong", typed, hint=hint)
        position += 1


def ordered(typed: exp.Ordered, key: exp.Expr) -> exp.Ordered:
    """A key of ORDER BY. NULL is the smallest value, as in Spark, where nothing else is said."""
    descending = bool(typed.args.get("desc"))
    return exp.Ordered(this=key, desc=descending, nulls_first=_nulls_first(typed, descending))


def _nulls_first(typed: exp.Ordered, descending: bool) -> bool:
    given = typed.args.get("nulls_first")
    return not descending if given is None else bool(given)


def frame(spec: exp.Expr | None, typed: exp.Expr) -> exp.WindowSpec | None:
    """ROWS or RANGE of a window. Raises RefusalError."""
    if spec is None:
        return None
    kind = str(spec.args.get("kind")).upper()
    if spec.args.get("exclude"):
        raise RefusalError("EXCLUDE in OVER does not run here", typed)
    return exp.WindowSpec(
        kind=kind,
        start=_bound(spec.args.get("start"), kind, typed),
        start_side=_side(spec.args.get("start_side")),
        end=_bound(spec.args.get("end"), kind, typed),
        end_side=_side(spec.args.get("end_side")),
    )


def _bound(given: object, kind: str, typed: exp.Expr) -> str | exp.Expr | None:
    if given is None:
        return None
    if isinstance(given, str) and given.upper() in ("UNBOUNDED", "CURRENT ROW"):
        return given.upper()
    if isinstance(given, exp.Literal) and kind == "ROWS" and given.this.isdigit():
        return exp.Literal.number(str(int(given.this)))
    hint = "write ROWS BETWEEN n PRECEDING AND CURRENT ROW"
    raise RefusalError("this frame of OVER does not run here", typed, hint=hint)


def _side(given: object) -> str | None:
    return None if given is None else str(given).upper()


def node_name(node: object) -> str:
    """What a node is called in a message."""
    if isinstance(node, exp.Command):
        return str(node.this).upper()
    return node.key.upper() if isinstance(node, exp.Expr) else "this"
