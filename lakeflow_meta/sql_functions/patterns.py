"""LIKE and regular expressions, the latter of the part that Java and Python read alike."""

from __future__ import annotations

import re
from functools import lru_cache

from lakeflow_meta.sql_functions.faults import SqlValueError


def like(text: str, pattern: str, escape: str = "\\") -> bool:
    return _like(pattern, escape).fullmatch(text) is not None


def ilike(text: str, pattern: str, escape: str = "\\") -> bool:
    return _like(pattern.lower(), escape).fullmatch(text.lower()) is not None


@lru_cache(maxsize=256)
def _like(pattern: str, escape: str) -> re.Pattern[str]:
    parts = []
    characters = iter(pattern)
    for character in characters:
        if character == escape:
            following = next(characters, "")
            if following not in ("%", "_", escape) or not following:
                raise SqlValueError(f"the pattern {pattern!r} escapes no %, _ or itself")
            parts.append(re.escape(following))
        else:
            parts.append({"%": ".*", "_": "."}.get(character) or re.escape(character))
    return re.compile("".join(parts), re.DOTALL)


@lru_cache(maxsize=256)
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)


def regexp_like(text: str, pattern: str) -> bool:
    return _regex(pattern).search(text) is not None


def regexp_extract(text: str, pattern: str, group: int = 1) -> str:
    regex = _regex(pattern)
    if group > regex.groups:
        raise SqlValueError(f"the pattern {pattern!r} has {regex.groups} group(s), not {group}")
    found = regex.search(text)
    return (found.group(group) or "") if found else ""


def regexp_replace(text: str, pattern: str, replacement: str) -> str:
    template = _template(replacement)
    groups = _regex(pattern).groups
    if any(isinstance(part, int) and part > groups for part in template):
        raise SqlValueError(f"the pattern {pattern!r} has {groups} group(s)")
    return _regex(pattern).sub(
        lambda found: "".join(
            part if isinstance(part, str) else found.group(part) or "" for part in template
        ),
        text,
    )


@lru_cache(maxsize=64)
def _template(replacement: str) -> tuple[str | int, ...]:
    """Java's: ``$1`` is a group, a backslash takes the next character as it is."""
    parts: list[str | int] = []
    for found in re.finditer(r"\\(.)|\$(\d)|([^\\$])|(.)", replacement, re.DOTALL):
        escaped, group, plain, wrong = found.groups()
        if wrong:
            raise SqlValueError(f"the replacement {replacement!r} is wrong at {wrong!r}")
        parts.append(int(group) if group else escaped or plain)
    return tuple(parts)
