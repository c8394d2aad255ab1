"""How much memory this process takes, for the table of runs."""

from __future__ import annotations

import os
from pathlib import Path

_STATM = Path("/proc/self/statm")
_RESIDENT = 1
"""Field of ``/proc/self/statm``, in pages: proc(5)."""


def memory_mb() -> int | None:
    """Resident memory now, in MB; None where the system does not tell it so."""
    try:
        pages = int(_STATM.read_text().split()[_RESIDENT])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20
