"""One recipe for "is it the same?": a digest of canonical JSON. Pure.

A fingerprint is stored data, so its recipe carries a version: when the recipe changes, stored
fingerprints of the old recipe compare as different once, and never wrongly as equal.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

RECIPE = "1"

_ENCODER = json.JSONEncoder(
    sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces, unicode kept. Equal values give equal text.

    Raises TypeError for values that JSON cannot hold, ValueError for NaN and infinities.
    """
    return _ENCODER.encode(value)


def fingerprint(value: Any) -> str:
    """``recipe:digest`` of any JSON value; 128 bits of SHA-256."""
    digest = hashlib.sha256(canonical_json(value).encode()).hexdigest()[:32]
    return f"{RECIPE}:{digest}"


def content_hash(data: bytes) -> str:
    """SHA-256 of bytes, in hex: the identity of a file's content."""
    return hashlib.sha256(data).hexdigest()
