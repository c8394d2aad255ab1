"""Modules of the user's project, imported by notebooks in this process.

Beside the notebook and at the project's root, as on the platform
(https://docs.databricks.com/files/workspace-modules). One process runs many tasks, perhaps for
weeks: a module whose file has changed since is imported anew by the next notebook.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_lock = threading.Lock()
_seen: dict[str, int] = {}
"""By module name: when its file was changed, in ns, as the notebook that imported it saw it."""


@contextmanager
def fresh_modules(roots: tuple[Path, ...]) -> Iterator[None]:
    """Inside, modules below ``roots`` can be imported as they are now."""
    with _lock:
        sys.path.extend(str(root) for root in roots if str(root) not in sys.path)
        for name in [name for name, changed in _seen.items() if _changed_at(name) != changed]:
            sys.modules.pop(name, None)
            del _seen[name]
        importlib.invalidate_caches()
    before = frozenset(sys.modules)
    try:
        yield
    finally:
        with _lock:
            new = [name for name in sys.modules if name not in before]
            _seen.update({name: at for name in new if (at := _changed_at(name, roots)) is not None})


def _changed_at(name: str, roots: tuple[Path, ...] = ()) -> int | None:
    """None for a module that is not below the roots, or is gone."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None or "site-packages" in file:
        return None
    path = Path(file)
    if roots and not any(path.is_relative_to(root) for root in roots):
        return None
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


@contextmanager
def wheels_on_path(wheels: Iterable[Path]) -> Iterator[None]:
    """A task's wheel files before everything else, for as long as it runs.

    Their modules are forgotten with them: the next task may bring another version.
    """
    added = [str(wheel) for wheel in wheels]
    sys.path[:0] = added
    try:
        yield
    finally:
        for wheel in added:
            if wheel in sys.path:
                sys.path.remove(wheel)
        for name in [name for name in sys.modules if _is_of(name, added)]:
            sys.modules.pop(name, None)


def _is_of(name: str, wheels: list[str]) -> bool:
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    return any(file.startswith(f"{wheel}{os.sep}") for wheel in wheels)
