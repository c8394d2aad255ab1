"""The functions that run in SQL on control tables: what they take and give. Pure.

A function is here when it means the same in Spark and in the engine of the local store, and then
its meaning is Spark's. What is left out is refused by name, with another way where there is one.
https://docs.databricks.com/sql/language-manual/sql-ref-functions-builtin-alpha.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from lakeflow_meta.control.sql.kinds import Kind, RefusalError

TEXT, INTEGER, DOUBLE, BOOLEAN = Kind.TEXT, Kind.INTEGER, Kind.DOUBLE, Kind.BOOLEAN
TIME, DATE = Kind.TIME, Kind.DATE


class Takes(Enum):
    """What an argument has to be, where it is not simply of one kind."""

    ANYTHING = auto()
    ALIKE = auto()
    """One kind, the same as all arguments that are ``ALIKE``."""
    NUMBER = auto()
    MOMENT = auto()
    """A timestamp or a date."""
    AS_TEXT = auto()
    """Anything, made a text as CAST does."""
    GIVEN_TEXT = auto()
    """A text literal."""
    GIVEN_INTEGER = auto()
    """A whole number as a literal, 0 or more."""
    PATTERN = auto()
    """A regular expression as a literal, of the part that Java and Python read alike."""
    DATE_PATTERN = auto()
    UNIT = auto()
    JSON_PATH = auto()


class Role(Enum):
    """Where a function may stand."""

    PLAIN = auto()
    AGGREGATE = auto()
    RANKING = auto()
    """Only with OVER (… ORDER BY …)."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function. ``gives`` None: the kind of its ``ALIKE`` arguments, or of its first."""

    takes: tuple[Kind | Takes, ...]
    gives: Kind | None
    optional: int = 0
    """How many of the last arguments may be left out."""
    repeats: bool = False
    """Whether the last argument may come any number of times."""
    role: Role = Role.PLAIN


_ANY, _ALIKE, _NUMBER, _MOMENT = Takes.ANYTHING, Takes.ALIKE, Takes.NUMBER, Takes.MOMENT
_AGGREGATE, _RANKING = Role.AGGREGATE, Role.RANKING
_OF_MOMENT = Function((_MOMENT,), INTEGER)
_OF_TIME = Function((TIME,), INTEGER)
_TEXT_TO_TEXT = Function((TEXT,), TEXT)
_TWO_TEXTS = Function((TEXT, TEXT), BOOLEAN)

FUNCTIONS: dict[str, Function] = {
    # text
    "upper": _TEXT_TO_TEXT,
    "lower": _TEXT_TO_TEXT,
    "trim": _TEXT_TO_TEXT,
    "ltrim": _TEXT_TO_TEXT,
    "rtrim": _TEXT_TO_TEXT,
    "reverse": _TEXT_TO_TEXT,
    "md5": _TEXT_TO_TEXT,
    "length": Function((TEXT,), INTEGER),
    "startswith": _TWO_TEXTS,
    "endswith": _TWO_TEXTS,
    "contains": _TWO_TEXTS,
    "instr": Function((TEXT, TEXT), INTEGER),
    "locate": Function((TEXT, TEXT), INTEGER),
    "replace": Function((TEXT, TEXT, TEXT), TEXT, optional=1),
    "substring": Function((TEXT, INTEGER, INTEGER), TEXT, optional=1),
    "left": Function((TEXT, INTEGER), TEXT),
    "right": Function((TEXT, INTEGER), TEXT),
    "lpad": Function((TEXT, INTEGER, TEXT), TEXT, optional=1),
    "rpad": Function((TEXT, INTEGER, TEXT), TEXT, optional=1),
    "repeat": Function((TEXT, INTEGER), TEXT),
    "split_part": Function((TEXT, TEXT, INTEGER), TEXT),
    "sha2": Function((TEXT, Takes.GIVEN_INTEGER), TEXT),
    "concat": Function((Takes.AS_TEXT,), TEXT, repeats=True),
    "concat_ws": Function((TEXT, Takes.AS_TEXT), TEXT, repeats=True),
    "regexp_like": Function((TEXT, Takes.PATTERN), BOOLEAN),
    "regexp_extract": Function((TEXT, Takes.PATTERN, Takes.GIVEN_INTEGER), TEXT, optional=1),
    "regexp_replace": Function((TEXT, Takes.PATTERN, Takes.GIVEN_TEXT), TEXT),
    "get_json_object": Function((TEXT, Takes.JSON_PATH), TEXT),
    # numbers
    "abs": Function((_NUMBER,), None),
    "ceil": Function((_NUMBER,), INTEGER),
    "floor": Function((_NUMBER,), INTEGER),
    "round": Function((_NUMBER, Takes.GIVEN_INTEGER), None, optional=1),
    "mod": Function((_NUMBER, _NUMBER), None),
    # any kind
    "coalesce": Function((_ALIKE,), None, repeats=True),
    "greatest": Function((_ALIKE, _ALIKE), None, repeats=True),
    "least": Function((_ALIKE, _ALIKE), None, repeats=True),
    "nullif": Function((_ALIKE, _ALIKE), None),
    "nvl2": Function((_ANY, _ALIKE, _ALIKE), None),
    # times
    "date_format": Function((_MOMENT, Takes.DATE_PATTERN), TEXT),
    "date_trunc": Function((Takes.UNIT, TIME), TIME),
    "year": _OF_MOMENT,
    "quarter": _OF_MOMENT,
    "month": _OF_MOMENT,
    "day": _OF_MOMENT,
    "dayofweek": _OF_MOMENT,
    "weekday": _OF_MOMENT,
    "dayofyear": _OF_MOMENT,
    "weekofyear": _OF_MOMENT,
    "hour": _OF_TIME,
    "minute": _OF_TIME,
    "second": _OF_TIME,
    "unix_timestamp": _OF_TIME,
    "datediff": Function((DATE, DATE), INTEGER),
    "date_add": Function((DATE, INTEGER), DATE),
    "date_sub": Function((DATE, INTEGER), DATE),
    "add_months": Function((DATE, INTEGER), DATE),
    "last_day": Function((DATE,), DATE),
    # aggregates
    "count": Function((_ANY,), INTEGER, role=_AGGREGATE),
    "count_if": Function((BOOLEAN,), INTEGER, role=_AGGREGATE),
    "sum": Function((_NUMBER,), None, role=_AGGREGATE),
    "avg": Function((_NUMBER,), DOUBLE, role=_AGGREGATE),
    "min": Function((_ALIKE,), None, role=_AGGREGATE),
    "max": Function((_ALIKE,), None, role=_AGGREGATE),
    "bool_and": Function((BOOLEAN,), BOOLEAN, role=_AGGREGATE),
    "bool_or": Function((BOOLEAN,), BOOLEAN, role=_AGGREGATE),
    "listagg": Function((TEXT, Takes.GIVEN_TEXT), TEXT, optional=1, role=_AGGREGATE),
    # with OVER
    "row_number": Function((), INTEGER, role=_RANKING),
    "rank": Function((), INTEGER, role=_RANKING),
    "dense_rank": Function((), INTEGER, role=_RANKING),
    "ntile": Function((Takes.GIVEN_INTEGER,), INTEGER, role=_RANKING),
    "lag": Function((_ALIKE, Takes.GIVEN_INTEGER, _ALIKE), None, optional=2, role=_RANKING),
    "lead": Function((_ALIKE, Takes.GIVEN_INTEGER, _ALIKE), None, optional=2, role=_RANKING),
    "first_value": Function((_ALIKE,), None, role=_RANKING),
    "last_value": Function((_ALIKE,), None, role=_RANKING),
}

ALIASES = {
    "ucase": "upper",
    "lcase": "lower",
    "len": "length",
    "char_length": "length",
    "character_length": "length",
    "substr": "substring",
    "btrim": "trim",
    "charindex": "locate",
    "regexp": "regexp_like",
    "rlike": "regexp_like",
    "ceiling": "ceil",
    "ifnull": "coalesce",
    "nvl": "coalesce",
    "dayofmonth": "day",
    "date_diff": "datediff",
    "dateadd": "date_add",
    "mean": "avg",
    "every": "bool_and",
    "some": "bool_or",
    "any": "bool_or",
    "string_agg": "listagg",
}

CASTS = {
    "string": "STRING",
    "int": "INT",
    "bigint": "BIGINT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "to_date": "DATE",
    "timestamp": "TIMESTAMP",
    "to_timestamp": "TIMESTAMP",
}
"""Functions of one argument that are a CAST."""

_JSON = "write get_json_object(column, '$.path') or column:path"
_ORDERED = "write listagg(column, ',') WITHIN GROUP (ORDER BY …): its order is told"
_CHOSEN = "write min(column) or max(column): which value is taken is told"
INSTEAD = {
    "split": "write split_part(text, ',', 1)",
    "collect_list": _ORDERED,
    "collect_set": _ORDERED,
    "array_agg": _ORDERED,
    "group_concat": _ORDERED,
    "from_json": _JSON,
    "parse_json": _JSON,
    "json_tuple": _JSON,
    "json_object_keys": _JSON,
    "variant_get": _JSON,
    "first": _CHOSEN,
    "any_value": _CHOSEN,
    "last": _CHOSEN,
    "max_by": "use row_number() with QUALIFY",
    "min_by": "use row_number() with QUALIFY",
    "approx_count_distinct": "write count(DISTINCT column)",
    "decode": "write CASE",
    "date_part": "write year(…), month(…), hour(…)",
    "timestampdiff": "write unix_timestamp(a) - unix_timestamp(b)",
    "timestampadd": "write time + INTERVAL 1 DAY",
    "uuid": "values that differ at each run have no place in a statement",
    "rand": "values that differ at each run have no place in a statement",
}

# --- literals with a grammar of their own

_PATTERN_PARTS = re.compile(
    r"""(?: [^\\()\[\]{}?*+^$|]            # a character
          | \\[dDwWsSbBntr.^$|?*+()\[\]{}\\/\-]
          | \[\^?(?:[^\\\[\]&|~-]|\\[dDwWsSntr.^$|?*+()\[\]{}\\/\-]|(?<=[^\[^])-)+\]
          | \((?!\?) | \(\?: | \) | [.|^$]
          | [?*+] | \{\d{1,4}(?:,\d{0,4})?\} )*""",
    re.VERBOSE | re.DOTALL,
)
_DATE_LETTERS = re.compile(r"(?:yyyy|yy|MMMM|MMM|MM|M|dd|d|HH|H|hh|h|mm|m|ss|s|S{1,6}|a|EEEE|EEE|E"
                           r"|D|'(?:[^']|'')*'|[^A-Za-z'\[\]{}#])+")  # fmt: skip
_UNITS = ("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND")
_JSON_STEP = re.compile(r"\.([^.\[\]'*\s]+)|\['([^'\[\]?]+)'\]|\[(\d{1,9})\]")


def check_pattern(pattern: str) -> None:
    """Raises RefusalError for a regular expression that two engines may read differently."""
    hint = "use groups, classes like [a-z], \\d \\w \\s, and the quantifiers ? * + {n,m}"
    if not _PATTERN_PARTS.fullmatch(pattern):
        raise RefusalError(f"the pattern {pattern!r} is not of the kind that runs here", hint=hint)
    try:
        re.compile(pattern, re.ASCII)
    except (re.error, OverflowError) as error:
        raise RefusalError(f"the pattern {pattern!r} is wrong: {error}", hint=hint) from error


def check_date_pattern(pattern: str) -> None:
    """Raises RefusalError for letters that are not known to mean the same everywhere."""
    if not _DATE_LETTERS.fullmatch(pattern):
        raise RefusalError(
            f"the date pattern {pattern!r} is not of the kind that runs here",
            hint="the letters are yyyy MM dd HH hh mm ss SSS a E D; other text stands in quotes",
        )


def unit(text: str) -> str:
    """A unit of date_trunc. Raises RefusalError."""
    if text.upper() not in _UNITS:
        raise RefusalError(f"date_trunc knows no {text!r}", hint=f"units are {', '.join(_UNITS)}")
    return text.upper()


def json_steps(path: str) -> list[str | int]:
    """The keys and positions of a path like ``$.a.b[0]['c d']``. Raises RefusalError."""
    steps: list[str | int] = []
    position = 1
    while path.startswith("$") and position < len(path):
        step = _JSON_STEP.match(path, position)
        if step is None:
            break
        key, quoted, number = step.groups()
        steps.append(int(number) if number is not None else key if key is not None else quoted)
        position = step.end()
    if not path.startswith("$") or position < len(path):
        raise RefusalError(f"{path!r} is not a JSON path", hint="write '$.key.key[0]'")
    return steps
