"""SQL text cut into statements and read as trees, by Databricks' grammar. Pure.

A function call stays a name with arguments, whatever its name: what it means is for
`statement_functions` to say, and not for the parser. Statements that can never run are told by
their first word, before anything is parsed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import exp
from sqlglot.dialects.databricks import Databricks
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from lakeflow_meta.control.sql.kinds import RefusalError
from lakeflow_meta.errors import Problem

OWN_PREFIX = "_lakeflow"
"""Names that begin like this are ours; nobody types them."""

_MOST_CHARACTERS = 4_000_000
_DEEPEST = 150
_WORDS = ("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE")
_FIRST_WORDS = frozenset({*_WORDS, "WITH", "VALUES", "("})
_SPECIAL_CALLS = ("CAST", "TRY_CAST", "EXTRACT")


class Spark4(Databricks):
    """Databricks' grammar with Spark 4's strings: ``''`` inside quotes is one quote."""

    class Tokenizer(Databricks.Tokenizer):
        STRING_ESCAPES = ["\\", "'", '"']  # noqa: RUF012 (the shape that sqlglot wants)

    class Parser(Databricks.Parser):  # type: ignore[misc,valid-type]  # sqlglot sets it
        FUNCTIONS: dict[str, Any] = {}  # noqa: RUF012 (the shape that sqlglot wants)
        FUNCTION_PARSERS = {  # noqa: RUF012 (the shape that sqlglot wants)
            name: Databricks.Parser.FUNCTION_PARSERS[name] for name in _SPECIAL_CALLS
        }


@dataclass(frozen=True, slots=True)
class Parsed:
    """One statement: its tree, or what is wrong with its text.

    ``number`` counts from 1; ``start`` is the place of its first character.
    """

    number: int
    tree: exp.Expr | None
    problem: Problem | None = None
    start: int = 0


class Text:
    """The whole text that somebody typed, and the places in it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._several = False

    def statements(self) -> list[Parsed]:
        """Every statement, those that cannot be read as well."""
        if len(self.text) > _MOST_CHARACTERS:
            return [self._unreadable(f"a text of more than {_MOST_CHARACTERS} characters")]
        if not self.text.isprintable() and any("\ud800" <= c <= "\udfff" for c in self.text):
            return [self._unreadable("the text holds characters that are no Unicode text")]
        try:
            chunks = list(_chunks(Spark4().tokenize(self.text)))
        except SqlglotError as error:
            hint = "is a quote or a comment left open?"
            return [self._unreadable(str(error).splitlines()[0][:200], hint)]
        self._several = len(chunks) > 1
        return [self._parse(number, chunk) for number, chunk in enumerate(chunks, 1)]

    def problem(self, number: int, refusal: RefusalError, start: int = 0) -> Problem:
        """A refusal as a problem, at the place of the node that it names."""
        starts = [] if refusal.node is None else list(_starts(refusal.node))
        return self._at(number, min(starts, default=start), str(refusal), refusal.hint)

    def _at(self, number: int, offset: int, message: str, hint: str = "") -> Problem:
        before = self.text[:offset]
        line, column = before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1
        return Problem(self._name(number), line, column, "", message, hint)

    def _name(self, number: int) -> str:
        return f"statement {number}" if self._several else "statement"

    def _unreadable(self, message: str, hint: str = "") -> Parsed:
        return Parsed(1, None, Problem("statement", 0, 0, "", message, hint))

    def _parse(self, number: int, chunk: Sequence[Token]) -> Parsed:
        start = chunk[0].start
        try:
            return Parsed(number, _tree(chunk, self.text), start=start)
        except RefusalError as refusal:
            return Parsed(number, None, self.problem(number, refusal, start))
        except ParseError as error:
            return Parsed(number, None, self._syntax(number, start, error))

    def _syntax(self, number: int, start: int, error: ParseError) -> Problem:
        details: dict[str, Any] = error.errors[0] if error.errors else {}
        near = str(details.get("highlight") or "")
        description = str(details.get("description") or "").rstrip(".")
        if not description or "<" in description:
            description = "this is not SQL that can be read"
        line, column = details.get("line"), details.get("col")
        if not line or not column:
            return self._at(number, start, description)
        hint = f"near {near!r}" if near else ""
        first = max(1, int(column) - len(near) + 1)
        return Problem(self._name(number), int(line), first, "", description, hint)


def _chunks(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    chunk: list[Token] = []
    for token in tokens:
        if token.token_type is not TokenType.SEMICOLON:
            chunk.append(token)
        elif chunk:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _tree(chunk: Sequence[Token], text: str) -> exp.Expr:
    first = chunk[0].text.upper()
    if chunk[0].token_type in (TokenType.STRING, TokenType.IDENTIFIER) or first not in _FIRST_WORDS:
        raise RefusalError(f"{first[:40]} does not run here", hint=_what_runs())
    if _nesting(chunk) > _DEEPEST:
        raise RefusalError(f"brackets are nested more than {_DEEPEST} deep")
    try:
        (tree,) = Spark4().parser().parse(list(chunk), text)
    except _PARSER_FAULTS as error:
        raise RefusalError("this is not SQL that can be read") from error
    if tree is None:
        raise RefusalError("this is not SQL that can be read")
    _check_depth(tree)
    _check_names(tree)
    return tree


_PARSER_FAULTS = (
    RecursionError,
    AssertionError,
    AttributeError,
    TypeError,
    ValueError,
    LookupError,
)
"""What sqlglot's parser raises, beside its own errors, for text that is no SQL (fuzzed)."""


def _what_runs() -> str:
    return f"{', '.join(_WORDS[:-1])} and {_WORDS[-1]} on control tables do"


def _nesting(chunk: Sequence[Token]) -> int:
    depth = deepest = 0
    for token in chunk:
        if token.token_type in (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.CASE):
            depth += 1
            deepest = max(deepest, depth)
        elif token.token_type in (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.END):
            depth -= 1
    return deepest


def _check_depth(tree: exp.Expr) -> None:
    """What reads and writes trees is recursive: refuse what would exhaust its stack."""
    level, depth = [tree], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise RefusalError(
                f"the statement is nested more than {_DEEPEST} deep",
                hint="write IN (…) for a long list of ORs",
            )
        level = [child for node in level for child in node.iter_expressions()]


def _check_names(tree: exp.Expr) -> None:
    for node in tree.walk():
        name = node.this if isinstance(node, exp.Identifier | exp.Anonymous) else ""
        if isinstance(name, str) and name.lower().startswith(OWN_PREFIX):
            raise RefusalError(f"the name {name} is kept for this package", node)


def _starts(node: exp.Expr) -> Iterator[int]:
    for part in node.walk():
        if "start" in part.meta:
            yield int(part.meta["start"])
