"""The Permissions API's rules about the entries of one job. Pure.

https://docs.databricks.com/api/workspace/permissions
https://docs.databricks.com/security/auth/access-control/index.html#job-acls
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakeflow_meta.backends.local.jobs.api_settings import INVALID
from lakeflow_meta.errors import BackendError

Entries = list[dict[str, str]]

OWNER = "IS_OWNER"
LEVELS = ("CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", OWNER)
PRINCIPALS = ("user_name", "group_name", "service_principal_name")
_LEVEL = "permission_level"


def owned_by(user: str) -> Entries:
    """The entries of a new job."""
    return [{"user_name": user, _LEVEL: OWNER}]


def updated(current: Sequence[Mapping[str, str]], given: Sequence[Mapping[str, str]]) -> Entries:
    """PATCH: those that are named get their level, all others keep theirs.

    Raises BackendError when it is refused, as `replaced` does.
    """
    named = {_principal(entry) for entry in given}
    return replaced([*(e for e in current if _principal(e) not in named), *given])


def replaced(given: Sequence[Mapping[str, str]]) -> Entries:
    """PUT: these and no others."""
    for entry in given:
        _principal(entry)
        if entry[_LEVEL] == OWNER and "group_name" in entry:
            raise _refused("a group cannot own a job")
    owners = sum(entry[_LEVEL] == OWNER for entry in given)
    if owners != 1:
        raise _refused(f"a job has exactly one owner, not {owners}")
    return [dict(entry) for entry in given]


def _principal(entry: Mapping[str, str]) -> tuple[str, str]:
    kinds = [name for name in PRINCIPALS if name in entry]
    if len(kinds) != 1 or set(entry) != {*kinds, _LEVEL} or entry[_LEVEL] not in LEVELS:
        raise _refused(f"no permission of a job: {dict(entry)}")
    return kinds[0], entry[kinds[0]]


def _refused(message: str) -> BackendError:
    return BackendError(message, code=INVALID)
