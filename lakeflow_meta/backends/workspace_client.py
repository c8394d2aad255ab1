"""The one place that makes a `databricks.sdk.WorkspaceClient`.

How it signs in is the SDK's unified authentication: explicit values, the environment
(``DATABRICKS_*``), a profile of ``~/.databrickscfg``, and inside a Databricks runtime the runtime
itself. https://docs.databricks.com/dev-tools/auth/unified-auth

The SDK is imported on first use. No credential is ever logged or part of a message: the SDK masks
them in what it tells of its configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeflow_meta import __version__
from lakeflow_meta.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

    from lakeflow_meta.backends.workspace_calls import WorkspaceCalls

PRODUCT = "lakeflow-meta"
"""How the platform's logs name us, with our version, in the user agent."""

_OPENING_SECONDS, _SDK_RETRY_SECONDS = 10, 300
_REMEDY = (
    "set DATABRICKS_HOST and DATABRICKS_TOKEN (or DATABRICKS_CLIENT_ID and"
    " DATABRICKS_CLIENT_SECRET), or run `databricks auth login` and name its profile"
    " (profile: in conf/<target>.yml, or DATABRICKS_CONFIG_PROFILE)"
)


def open_workspace(*, host: str | None = None, profile: str | None = None) -> WorkspaceClient:
    """A client of the workspace at ``host``, of ``profile``, or of what the SDK finds.

    Raises ConfigError with a remedy where the SDK is not installed, or finds no way to sign in.
    Opening asks the host about itself; a host that does not answer is waited for a bounded time,
    and found out by the first call.
    """
    try:
        from databricks.sdk import WorkspaceClient
        from databricks.sdk.core import Config
    except ModuleNotFoundError as error:
        raise ConfigError(
            "databricks-sdk is not installed; run: pip install 'lakeflow_meta[databricks]'"
        ) from error
    try:
        config = Config(
            host=host,
            profile=profile,
            product=PRODUCT,
            product_version=__version__,
            retry_timeout_seconds=_OPENING_SECONDS,
        )
    except ValueError as error:
        raise ConfigError(
            f"there is no way to sign in to a workspace: {error}\n{_REMEDY}"
        ) from error
    except OSError as error:
        raise BackendError(
            f"the workspace cannot be opened: {error}", code=type(error).__name__, transient=True
        ) from error
    if not config.host:
        raise ConfigError(f"no workspace is named; {_REMEDY}")
    config.retry_timeout_seconds = _SDK_RETRY_SECONDS
    return WorkspaceClient(config=config)


def user_name(calls: WorkspaceCalls) -> str:
    """Who the workspace knows us as: an e-mail address, or a service principal's application id.

    Raises BackendError.
    """
    return str(calls.read("/api/2.0/preview/scim/v2/Me").get("userName") or "")
