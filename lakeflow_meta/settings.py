"""Settings: what they are, where each value comes from. Pure; `app.py` reads files and environment.

Order, later wins: field default, ``conf/default.yml``, ``conf/<target>.yml``, environment
(``LAKEFLOW_META_*``), command line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from lakeflow_meta.errors import ConfigError
from lakeflow_meta.findings import path_text, validation_findings
from lakeflow_meta.names import TableName

ENVIRONMENT_PREFIX = "LAKEFLOW_META_"


def _number_as_text(value: Any) -> Any:
    """YAML reads ``4`` as a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class DeploySettings(BaseModel):
    """What `lakeflow-meta deploy` puts on a workspace. Each may be given on the command line."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    package_folder: str | None = None
    """Where the wheel and the settings go: ``/Volumes/…`` or ``/Workspace/…``."""
    schedule: str = "0 0 * * * ?"
    """When the orchestrator runs: a Quartz cron expression."""
    timezone_id: str = "UTC"
    """Zone of the schedule, e.g. Europe/Berlin."""
    metadata_volume: str | None = None
    """Folder of metadata files that the jobs read; without it only the control tables."""
    monitor_interval_seconds: Annotated[float, Field(ge=1)] | None = 60.0
    """From the start of one look of the monitor to the next; null: no monitor."""
    environment_version: Annotated[
        str, BeforeValidator(_number_as_text), Field(pattern=r"^([2-9]|[1-9]\d+)$")
    ] = "4"
    """Of serverless compute: 2 is the first with Python 3.11.
    https://docs.databricks.com/release-notes/serverless/environment-version/"""
    existing_cluster_id: str | None = None
    """Run on this cluster instead of serverless compute."""
    job_cluster: dict[str, Any] | None = None
    """Or on a cluster of the job's own, as ``new_cluster`` of the Jobs API."""
    run_as: dict[str, str] | None = None
    """Who the jobs run as: ``service_principal_name`` or ``user_name``; else who deploys."""
    permissions: tuple[dict[str, str], ...] = ()
    """Who may do what with the two jobs, as ``access_control_list`` of the Permissions API."""

    @model_validator(mode="after")
    def _one_compute(self) -> DeploySettings:
        if self.existing_cluster_id is not None and self.job_cluster is not None:
            raise ValueError("existing_cluster_id and job_cluster exclude each other; name one")
        return self

    def changed(self, options: Mapping[str, Any]) -> DeploySettings:
        """With options of the command line, which win. Raises ConfigError."""
        try:
            return DeploySettings.model_validate({**self.model_dump(), **options})
        except ValidationError as error:
            lines = [
                f"deploy.{path_text(f.path)}: {f.message}" + (f" ({f.hint})" if f.hint else "")
                for f in validation_findings(error, DeploySettings)
            ]
            raise ConfigError("\n".join(lines)) from error


class PostgresSettings(BaseModel):
    """The warehouse of a local target: a PostgreSQL server; the embedded one where none is named.

    The password is not among them: it comes from ``POSTGRES_PASSWORD`` alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str | None = None
    """Name, address, or the folder of a socket."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Left out: 5432."""
    user: str | None = None
    """Left out: postgres."""
    database: str = "local"
    """Made where the server is the embedded one."""
    pool_size: Annotated[int, Field(ge=1, le=100)] = 8
    """Connections at once; more threads wait for one."""
    pool_wait_seconds: Annotated[float, Field(gt=0)] = 30.0
    """How long a thread waits for one."""


class NamingSettings(BaseModel):
    """How declared tables may be named; see `schema.registry.NamePolicy`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespaces: tuple[str, ...] = ()
    """Patterns of ``catalog.schema``, e.g. ``main.*``."""
    tables: str = ""
    """Regular expression that the name of a table must match as a whole."""
    columns: str = ""
    """The same for names of columns."""


class Settings(BaseModel):
    """Effective settings of one target. Unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str = "local"
    """Which ``conf/<target>.yml`` is read."""
    backend: Literal["local", "databricks"] = "local"
    """The embedded workspace, or a Databricks workspace."""
    home: Path = Path(".lakeflow")
    """Directory of the embedded workspace."""
    cache: Path | None = None
    """Where jars and the class archive are kept; left out, the user's cache folder."""
    control_table: str = "main.lakeflow.etl_control"
    """Full name of the control table; the names of the others follow from it."""
    host: str | None = None
    """Address of the workspace; left out, what the SDK finds."""
    profile: str | None = None
    """Profile of ``~/.databrickscfg``."""
    warehouse_id: str | None = None
    """SQL warehouse that keeps the control tables from outside, and that SQL tasks use which
    name none."""
    external_links: bool = True
    """Whether large results of a warehouse are fetched from cloud storage; false where that is
    blocked."""
    job_name_template: str = "{module_name}"
    """Display name of jobs that name none."""
    catalogs: tuple[str, ...] = ()
    """Catalogs that the embedded workspace has from the start, beside the control table's."""
    variables: dict[str, Any] = {}
    """Values for ``${var.name}`` in metadata; they win over those of the files."""
    spark_conf: dict[str, str] = {}
    """Settings of the embedded Spark session; they win over ours."""
    jobs_at_once: Annotated[int, Field(ge=1, le=64)] = 8
    """Jobs of a workspace that an apply changes at the same time."""
    reads_per_second: Annotated[float, Field(gt=0)] = 50.0
    """Limit of requests to a workspace that only read, all threads together."""
    writes_per_second: Annotated[float, Field(gt=0)] = 20.0
    """Limit of requests to a workspace that change something."""
    max_parallel_tasks: Annotated[int, Field(ge=1, le=64)] = 4
    """Tasks, tables or extracts at the same time on the embedded workspace."""
    ddl_stagger_seconds: Annotated[float, Field(ge=0)] = 0.2
    """From the start of one target's DDL scripts to the next."""
    warehouse_targets: tuple[str, ...] = ()
    """Targets of DDL scripts that run on the warehouse, in its SQL."""
    history_days: Annotated[int, Field(ge=1)] = 30
    """How long old versions of control tables are kept."""
    actor: str = ""
    """Who acts, in ``etl_control_events``; left out, the user."""
    naming: NamingSettings = NamingSettings()
    """How declared tables may be named."""
    postgres: PostgresSettings = PostgresSettings()
    """The warehouse of a local target."""
    sql_templates: Path | None = None
    """Folder of SQL templates of one's own."""
    deploy: DeploySettings = DeploySettings()
    """What `lakeflow-meta deploy` puts on a workspace."""

    def portable(self) -> dict[str, Any]:
        """What a deployed job has to know: all that is not of this machine, and no default."""
        return self.model_dump(mode="json", exclude_defaults=True, exclude=_OF_THIS_MACHINE)


_OF_THIS_MACHINE = {
    "target",
    "home",
    "cache",
    "control_table",
    "host",
    "profile",
    "actor",
    "deploy",
    "postgres",
    "sql_templates",
}
"""Settings that a deployed job gets otherwise: by an option, or from the compute it runs on."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Values from one place; ``origin`` is how people know it."""

    origin: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Settings, and for each field the layer that decided it."""

    settings: Settings
    origins: Mapping[str, str]


_NOT_IN_ONE_VARIABLE = (
    dict[str, Any],
    dict[str, str],
    tuple[str, ...],
    DeploySettings,
    NamingSettings,
    PostgresSettings,
)


def environment_layer(environment: Mapping[str, str]) -> Layer:
    """Settings named by ``LAKEFLOW_META_*`` variables; others of that prefix are not settings.

    ``POSTGRES_HOST``, ``_PORT``, ``_USER`` and ``_DATABASE`` are those of the warehouse.
    """
    values: dict[str, Any] = {
        name: environment[ENVIRONMENT_PREFIX + name.upper()]
        for name, field in Settings.model_fields.items()
        if ENVIRONMENT_PREFIX + name.upper() in environment
        and field.annotation not in _NOT_IN_ONE_VARIABLE
    }
    postgres = {
        name: environment[f"POSTGRES_{name.upper()}"]
        for name in ("host", "port", "user", "database")
        if environment.get(f"POSTGRES_{name.upper()}")
    }
    if postgres:
        values["postgres"] = postgres
    return Layer("environment", values)


def resolve(layers: Sequence[Layer]) -> Resolved:
    """Put the layers together; mappings (``variables``, ``spark_conf``) are merged key by key.

    Raises ConfigError that names every unusable value and the layer it is from.
    """
    values: dict[str, Any] = {}
    origins = dict.fromkeys(Settings.model_fields, "default")
    for layer in layers:
        for name, value in layer.values.items():
            if isinstance(value, dict) and isinstance(values.get(name), dict):
                values[name] = {**values[name], **value}
            else:
                values[name] = value
            origins[name] = layer.origin
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        lines = [
            f"{origins.get(str(f.path[0]), 'settings') if f.path else 'settings'}: "
            f"{path_text(f.path)}: {f.message}" + (f" ({f.hint})" if f.hint else "")
            for f in validation_findings(error, Settings)
        ]
        raise ConfigError("settings cannot be used\n" + "\n".join(lines)) from error
    TableName.parse(settings.control_table)
    return Resolved(settings, origins)
