"""Variables that metadata files share: who defines them, who uses them, and what that amounts to.

Pure. A file's mark is its content together with the values of the variables it uses, so a new value
in one file marks the others that use it as changed, and no more than those.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lakeflow_meta.control.watched_files import is_yaml
from lakeflow_meta.control.yaml_nodes import declared_variables
from lakeflow_meta.fingerprint import content_hash

_USE = re.compile(r"\$\{var\.([A-Za-z_][A-Za-z0-9_]*)")


def content_of(mark: str) -> str:
    """The content digest inside a mark."""
    return mark.partition(":")[0]


def used_in(text: str) -> set[str]:
    """Names of the variables that a text may use; escaped ones among them."""
    return set(_USE.findall(text))


class SharedVariables:
    """The variables of several files; ``given`` ones win over those of the files."""

    def __init__(self, texts: Mapping[str, str], given: Mapping[str, Any]) -> None:
        self.by_file = {
            name: found
            for name, text in sorted(texts.items())
            if is_yaml(name) and (found := declared_variables(name, text))
        }
        self.values: dict[str, Any] = {}
        self.overlap = False
        for found in self.by_file.values():
            self.overlap |= any(self.values.get(n, v) != v for n, v in found.items())
            self.values |= found
        self.values |= given

    def mark(self, digest: str, text: str) -> str:
        """What a file says with these variables."""
        used = self._closure(used_in(text))
        if not used:
            return digest
        values = [(name, repr(self.values.get(name))) for name in sorted(used)]
        return f"{digest}:{content_hash(repr(values).encode())[:16]}"

    def _closure(self, names: Iterable[str]) -> set[str]:
        """Variables may be made of others."""
        found: set[str] = set()
        waiting = set(names)
        while waiting:
            name = waiting.pop()
            found.add(name)
            waiting |= used_in(str(self.values.get(name, ""))) - found
        return found
