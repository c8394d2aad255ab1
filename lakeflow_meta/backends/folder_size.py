"""How much a folder holds, where that is quickly told."""

from __future__ import annotations

import os
from pathlib import Path


def size_bytes(folder: Path, most_entries: int) -> int | None:
    """Bytes of the files below, links not followed; None beyond so many entries.

    What goes while it is counted, or may not be read, is left out.
    """
    total = 0
    todo = [str(folder)]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    most_entries -= 1
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue
        if most_entries < 0:
            return None
    return total
