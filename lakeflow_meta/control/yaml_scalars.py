"""What a YAML scalar without quotes means: what every YAML 1.1 reader takes it for. Pure."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

STR = "tag:yaml.org,2002:str"
MERGE = "tag:yaml.org,2002:merge"
DATE = "tag:yaml.org,2002:timestamp"
PLAIN = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))
"""Tags of values that JSON has as well."""

_LARGEST_BITS = 4096
"""Of a whole number. Python refuses to write numbers of some thousand digits as text."""

_constructor = SafeConstructor()


def plain_tag(text: str) -> str:
    """The tag of a scalar without quotes and without a tag of its own."""
    for tag, pattern in yaml.SafeLoader.yaml_implicit_resolvers.get(text[:1], ()):
        if pattern.match(text):
            return str(tag)
    return STR


@lru_cache(maxsize=1024)  # most of them are true, false and small numbers
def plain_value(tag: str, text: str) -> Any:
    """The value of a scalar with one of the `PLAIN` tags. Raises ValueError, in words for people.

    Calls the constructor's own function: `construct_object` keeps every node that it was given.
    """
    try:
        value = SafeConstructor.yaml_constructors[tag](_constructor, yaml.ScalarNode(tag, text))
    except (ConstructorError, ValueError, LookupError) as error:
        raise ValueError(f"{_short(text)!r} cannot be read") from error
    if ":" in text:
        raise ValueError(f"unquoted time {_short(text)} would be the number {value}")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{_short(text)} has no JSON form")
    if isinstance(value, int) and value.bit_length() > _LARGEST_BITS:
        raise ValueError(f"{_short(text)} is too large a number")
    return value


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}…"
