"""Calls of functions in SQL on control tables: plain ones, aggregates, windows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlglot import exp

from lakeflow_meta.control.sql import functions as functions
from lakeflow_meta.control.sql.functions import Function, Role, Takes
from lakeflow_meta.control.sql.kinds import (
    KIND_OF_TYPE,
    NUMBERS,
    Kind,
    RefusalError,
    Value,
    agree,
    become,
    cast_tree,
    date_value,
    text_value,
    time_value,
    value,
)
from lakeflow_meta.control.sql.names import Names, did_you_mean
from lakeflow_meta.control.sql.values import (
    as_text,
    call_tree,
    convert,
    frame,
    negated,
    node_name,
    number,
    ordered,
    wrapped,
)

WANTED = "_lakeflow_wanted"
"""A call of our own: the value, the column that it is for, and the column's type."""

Arguments = Sequence[exp.Expr]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an expression stands: what it can name, and which functions may be in it."""

    names: Names
    aggregates: bool = False
    windows: bool = False
    where: str = "this place"

    def inside(self, what: str) -> Place:
        """The same, inside an aggregate."""
        return replace(self, aggregates=False, windows=False, where=what)


Read = Callable[[exp.Expr, Place], Value]


class Calls:
    """Reads calls; their arguments are given back to ``read``."""

    def __init__(self, read: Read, now: datetime) -> None:
        self._read = read
        self._now = now
        self._special: dict[str, Callable[[Arguments, Place, exp.Expr], Value]] = {
            "now": self._current_time,
            "current_timestamp": self._current_time,
            "current_date": self._current_date,
            "curdate": self._current_date,
            "if": self._if,
            "iff": self._if,
            "isnull": self._is_null,
            "isnotnull": lambda *call: negated(self._is_null(*call), call[-1]),
            WANTED: self._wanted,
        }

    def call(self, name: str, arguments: Arguments, place: Place, node: exp.Expr) -> Value:
        """The value of a call. Raises RefusalError for a function that does not run here."""
        known = functions.ALIASES.get(name.lower(), name.lower())
        if known in self._special:
            return self._special[known](arguments, place, node)
        if known in functions.CASTS and len(arguments) == 1:
            return convert(
                self._read(arguments[0], place), functions.CASTS[known], node, safe=False
            )
        function = _function(name, known, node)
        match function.role:
            case Role.PLAIN:
                found = [self._read(argument, place) for argument in arguments]
                return _apply(known, function, found, node)
            case Role.AGGREGATE:
                return self._unordered(known, arguments, place, node)
            case Role.RANKING:
                raise RefusalError(f"{known}() needs OVER (… ORDER BY …)", node)

    # --- aggregates

    def _unordered(self, name: str, arguments: Arguments, place: Place, node: exp.Expr) -> Value:
        found = self._aggregate(name, arguments, place, node)
        if name == "listagg":
            hint = functions.INSTEAD["collect_list"]
            raise RefusalError("listagg() without an order does not run here", node, hint=hint)
        return found

    def _aggregate(self, name: str, arguments: Arguments, place: Place, node: exp.Expr) -> Value:
        if not place.aggregates:
            raise RefusalError(f"{name}() cannot stand in {place.where}", node)
        found = self._aggregate_call(name, arguments, place.inside(f"{name}()"), node)
        _check_own_columns(found.tree, place, node)
        found.tree.meta["aggregate"] = True
        return found

    def _aggregate_call(
        self, name: str, arguments: Arguments, place: Place, node: exp.Expr
    ) -> Value:
        if name == "count" and len(arguments) == 1 and isinstance(arguments[0], exp.Star):
            return _count_all(node)
        distinct = len(arguments) > 0 and isinstance(arguments[0], exp.Distinct)
        if distinct:
            arguments = [*arguments[0].expressions, *arguments[1:]]
        read = [self._read(argument, place) for argument in arguments]
        found = _apply(name, functions.FUNCTIONS[name], read, node)
        if distinct:
            first, *rest = found.tree.expressions
            found.tree.set("expressions", [exp.Distinct(expressions=[first]), *rest])
        return found

    def within_group(self, node: exp.WithinGroup, place: Place) -> Value:
        """``listagg(…) WITHIN GROUP (ORDER BY …)``."""
        call = node.this
        name = functions.ALIASES.get(call.name.lower(), call.name.lower())
        if not isinstance(call, exp.Anonymous) or name != "listagg":
            raise RefusalError("WITHIN GROUP stands after listagg() only", node)
        found = self._aggregate(name, call.expressions, place, node)
        keys = self._order(node.expression, place.inside("listagg()"))
        tree = exp.WithinGroup(this=found.tree, expression=exp.Order(expressions=keys))
        _check_own_columns(tree, place, node)
        first = found.tree.expressions[0]
        if isinstance(first, exp.Distinct) and [k.this for k in keys] != first.expressions:
            raise RefusalError("listagg(DISTINCT x) is ordered by x", node)
        tree.meta["aggregate"] = found.tree.meta.pop("aggregate")
        return value(tree, found.kind, node)

    def filtered(self, node: exp.Filter, place: Place) -> Value:
        """``aggregate(…) FILTER (WHERE …)``."""
        found = self._read(node.this, place)
        if not found.tree.meta.pop("aggregate", False):
            raise RefusalError("FILTER stands after an aggregate only", node)
        inner = self._read(node.expression.this, place.inside("FILTER"))
        condition = become(inner, Kind.BOOLEAN, "FILTER")
        tree = exp.Filter(this=found.tree, expression=exp.Where(this=condition.tree))
        _check_own_columns(tree, place, node)
        tree.meta["aggregate"] = True
        return value(tree, found.kind, node)

    # --- windows

    def window(self, node: exp.Window, place: Place) -> Value:
        """``function(…) OVER (…)``."""
        if not place.windows:
            raise RefusalError(f"OVER cannot stand in {place.where}", node)
        if node.args.get("alias") or node.args.get("over") != "OVER":
            raise RefusalError("a named WINDOW does not run here", node, hint="write OVER (…)")
        inner = replace(place, windows=False, where="OVER")
        order = node.args.get("order")
        keys = [] if order is None else self._order(order, inner)
        found = self._window_function(node.this, inner, bool(keys))
        tree = exp.Window(
            this=found.tree,
            partition_by=[self._read(p, inner).tree for p in node.args.get("partition_by") or ()],
            order=exp.Order(expressions=keys) if keys else None,
            spec=frame(node.args.get("spec"), node),
            over="OVER",
        )
        return value(tree, found.kind, node)

    def _window_function(self, node: exp.Expr, place: Place, has_order: bool) -> Value:
        if not isinstance(node, exp.Anonymous):
            raise RefusalError(f"{node_name(node)} with OVER does not run here", node)
        name = functions.ALIASES.get(node.name.lower(), node.name.lower())
        function = _function(node.name, name, node)
        if function.role is Role.PLAIN or name == "listagg":
            raise RefusalError(f"{node.name}() with OVER does not run here", node)
        if function.role is Role.RANKING and not has_order:
            raise RefusalError(f"{name}() needs OVER (… ORDER BY …)", node)
        if any(isinstance(argument, exp.Star) for argument in node.expressions):
            return _count_all(node)
        return _apply(name, function, [self._read(a, place) for a in node.expressions], node)

    def _order(self, node: exp.Expr, place: Place) -> list[exp.Ordered]:
        return [ordered(item, self._read(item.this, place).tree) for item in node.expressions]

    # --- calls with a meaning of their own

    def _current_time(self, arguments: Arguments, _place: Place, node: exp.Expr) -> Value:
        _check_count("current_timestamp", len(arguments), 0, 0, node)
        return time_value(self._now, node)

    def _current_date(self, arguments: Arguments, _place: Place, node: exp.Expr) -> Value:
        _check_count("current_date", len(arguments), 0, 0, node)
        return date_value(self._now.date(), node)

    def _if(self, arguments: Arguments, place: Place, node: exp.Expr) -> Value:
        _check_count("if", len(arguments), 3, 3, node)
        condition, yes, no = arguments
        return self._read(exp.If(this=condition, true=yes, false=no), place)

    def _is_null(self, arguments: Arguments, place: Place, node: exp.Expr) -> Value:
        _check_count("isnull", len(arguments), 1, 1, node)
        return self._read(exp.Is(this=arguments[0], expression=exp.Null()), place)

    def _wanted(self, arguments: Arguments, place: Place, _node: exp.Expr) -> Value:
        """A value for a column of a table: of the column's kind, a NULL too."""
        given, column, type_name = arguments
        found = become(
            self._read(given, place), KIND_OF_TYPE[type_name.name], f"column {column.name}"
        )
        return cast_tree(found, type_name.name) if found.kind is Kind.NOTHING else found


def _count_all(node: exp.Expr) -> Value:
    return value(exp.Anonymous(this="count", expressions=[exp.Star()]), Kind.INTEGER, node)


def _function(typed_name: str, known: str, node: exp.Expr) -> Function:
    function = functions.FUNCTIONS.get(known)
    if function is not None:
        return function
    names = [*functions.FUNCTIONS, *functions.ALIASES, *functions.CASTS]
    hint = functions.INSTEAD.get(known) or did_you_mean(known, names)
    hint = "" if hint.startswith("there are") else hint
    raise RefusalError(f"{typed_name[:60]}() does not run here", node, hint=hint)


def _check_own_columns(tree: exp.Expr, place: Place, node: exp.Expr) -> None:
    """Engines differ on whose aggregate it is, where its columns are not of one query."""
    if tree.find(exp.Query) is not None:
        raise RefusalError("a query inside an aggregate does not run here", node)
    if any(column.table not in place.names.own for column in tree.find_all(exp.Column)):
        raise RefusalError("an aggregate of another query's column does not run here", node)


# --- arguments


def _apply(name: str, function: Function, given: Sequence[Value], node: exp.Expr) -> Value:
    takes = _takes(name, function, len(given), node)
    found = [_argument(name, take, argument) for take, argument in zip(takes, given, strict=True)]
    alike = [i for i, take in enumerate(takes) if take is Takes.ALIKE]
    kind = function.gives
    if alike:
        same, common = agree([found[i] for i in alike], f"{name}()")
        for position, argument in zip(alike, same, strict=True):
            found[position] = argument
        kind = kind or common
    elif kind is None:
        _, kind = agree(found[: len(function.takes) if name == "mod" else 1], f"{name}()")
    if name == "mod":
        left, right = (wrapped(argument.tree) for argument in found)
        return value(exp.Mod(this=left, expression=right), kind, node)
    return call_tree(name, found, kind, node)


def _takes(name: str, function: Function, given: int, node: exp.Expr) -> list[Kind | Takes]:
    takes = list(function.takes)
    if function.repeats:
        takes += [takes[-1]] * max(0, given - len(takes))
    _check_count(name, given, len(function.takes) - function.optional, len(takes), node)
    return takes[:given]


def _check_count(name: str, given: int, fewest: int, most: int, node: exp.Expr) -> None:
    if not fewest <= given <= most:
        wanted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        hint = "count(DISTINCT a || '/' || b) counts pairs" if name == "count" else ""
        raise RefusalError(f"{name}() takes {wanted} argument(s), not {given}", node, hint=hint)


def _argument(name: str, take: Kind | Takes, given: Value) -> Value:
    what = f"{name}()"
    match take:
        case Kind.DATE if given.kind is Kind.TIME:
            return cast_tree(given, "DATE")
        case Kind():
            return become(given, take, what)
        case Takes.ANYTHING | Takes.ALIKE:
            return given
        case Takes.NUMBER:
            return number(given, what)
        case Takes.AS_TEXT:
            return as_text(given)
        case Takes.MOMENT:
            return given if given.kind is Kind.DATE else become(given, Kind.TIME, what)
        case Takes.GIVEN_INTEGER:
            return _given_integer(given, what)
        case Takes.GIVEN_TEXT | Takes.PATTERN | Takes.DATE_PATTERN | Takes.UNIT | Takes.JSON_PATH:
            return _given_text(take, given, what)


def _given_integer(given: Value, what: str) -> Value:
    number_given = given.whole_number if given.kind in NUMBERS else None
    if number_given is None or not 0 <= number_given < 1_000_000:
        raise RefusalError(f"{what} wants a whole number that is written out", given.typed)
    return given


def _given_text(take: Takes, given: Value, what: str) -> Value:
    text = given.text
    if text is None:
        raise RefusalError(f"{what} wants a text that is written out", given.typed)
    try:
        match take:
            case Takes.PATTERN:
                functions.check_pattern(text)
            case Takes.DATE_PATTERN:
                functions.check_date_pattern(text)
            case Takes.JSON_PATH:
                functions.json_steps(text)
            case Takes.UNIT:
                return text_value(functions.unit(text), given.typed)
    except RefusalError as refusal:
        raise RefusalError(str(refusal), given.typed, hint=refusal.hint) from refusal
    return given
