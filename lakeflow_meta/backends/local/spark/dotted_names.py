"""Names of one or more parts in a SQL text, joined from its tokens. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from lakeflow_meta.sql_tokens import Kind, Token, tokens


@dataclass(frozen=True, slots=True)
class Dotted:
    """A name of one or more parts, as it stands in the text."""

    parts: tuple[str, ...]
    start: int
    end: int
    plain: bool
    """Whether no part is in backticks: only then can it be a keyword."""

    @property
    def word(self) -> str:
        """The keyword this may be, in upper case, else empty."""
        return self.parts[0].upper() if self.plain and len(self.parts) == 1 else ""


Item = Token | Dotted


def items(text: str) -> list[Item]:
    """The tokens with every dotted name joined into one item."""
    found: list[Item] = []
    stream = list(tokens(text))
    index = 0
    while index < len(stream):
        if stream[index].kind in (Kind.WORD, Kind.QUOTED):
            last = _last_part(stream, index)
            found.append(_dotted(stream[index : last + 1 : 2]))
            index = last + 1
        else:
            found.append(stream[index])
            index += 1
    return found


def _last_part(stream: list[Token], first: int) -> int:
    last = first
    while last + 2 < len(stream) and stream[last + 1].text == "." and _is_part(stream[last + 2]):
        last += 2
    return last


def _is_part(token: Token) -> bool:
    return token.kind in (Kind.WORD, Kind.QUOTED)


def _dotted(parts: list[Token]) -> Dotted:
    return Dotted(
        tuple(part.name for part in parts),
        parts[0].start,
        parts[-1].end,
        all(part.kind is Kind.WORD for part in parts),
    )
