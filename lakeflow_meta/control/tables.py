"""Layouts of the control tables. The single source of their columns; ``ddl/`` is generated from it.

Column order and types are a public contract: users INSERT by position. Contract columns come
first, own columns after them, nullable.
"""

from __future__ import annotations

from dataclasses import dataclass

from lakeflow_meta.control.extract_layouts import EXTRACT_DETAILS, EXTRACT_RUNS, EXTRACTS
from lakeflow_meta.control.table_layout import LayoutColumn, TableLayout, columns
from lakeflow_meta.names import TableName

__all__ = [
    "DDL_SCRIPTS",
    "EVENTS",
    "EXECUTIONS",
    "EXTRACTS",
    "EXTRACT_DETAILS",
    "EXTRACT_RUNS",
    "FILES",
    "JOBS",
    "LAYOUTS",
    "LAYOUT_VERSION",
    "MODULES",
    "SOURCES",
    "STATE",
    "TABLES",
    "ControlTables",
    "LayoutColumn",
    "TableLayout",
]

LAYOUT_VERSION = 1
"""Kept in the table property ``lakeflow_meta.layout``."""


_CREATED = ("created_timestamp", "TIMESTAMP", "when the row was first recorded")
_UPDATED = ("updated_timestamp", "TIMESTAMP", "when the row last changed")
_ACTIVE = ("is_active", "BOOLEAN", "false is a soft delete: kept, but not part of the job")

SOURCES = TableLayout(
    suffix="",
    comment="one row per source: one task of a module",
    columns=columns(
        ("source_id", "STRING", "identity of the source inside its module"),
        ("module_name", "STRING", "the module, and so the job, that the source belongs to"),
        ("source_type", "STRING", "what kind of source it is: file, sql, notebook, …"),
        ("execution_order", "INT", "sources of one order run in parallel, after all lower ones"),
        ("source_config", "STRING", "JSON: where the data comes from"),
        ("target_config", "STRING", "JSON: where the data goes"),
        ("transformation_config", "STRING", "JSON: the task that does the work"),
        _ACTIVE,
        _CREATED,
        _UPDATED,
        ("description", "STRING", "what people wrote about the source"),
    ),
    keys=("module_name", "source_id"),
    contract=10,
)

JOBS = TableLayout(
    suffix="_jobs",
    comment="one row per module that has a job",
    columns=columns(
        ("module_name", "STRING", "the module"),
        ("job_id", "BIGINT", "the job on the platform"),
        ("job_name", "STRING", "the job's display name"),
        _CREATED,
        _UPDATED,
        ("settings_fingerprint", "STRING", "fingerprint of the settings that were applied"),
        ("managed_fields", "STRING", "JSON: the top-level fields and task keys that were applied"),
        ("control_version", "BIGINT", "version of the sources table that was applied"),
        ("applied_state", "STRING", "JSON: fingerprints of the rows that were applied"),
        ("is_active", "BOOLEAN", "false after the job was paused because its module went"),
    ),
    keys=("module_name",),
    contract=5,
)

MODULES = TableLayout(
    suffix="_modules",
    comment="one row per module: its job-level settings",
    columns=columns(
        ("module_name", "STRING", "the module"),
        ("job_config", "STRING", "JSON: schedule, trigger, clusters, parameters, tags, …"),
        ("description", "STRING", "what people wrote about the module"),
        ("ddl_targets", "STRING", "JSON list: DDL script targets that run before the sources"),
        _ACTIVE,
        _CREATED,
        _UPDATED,
    ),
    keys=("module_name",),
    contract=7,
)

TABLES = TableLayout(
    suffix="_tables",
    comment="one row per declared Delta table",
    columns=columns(
        ("table_name", "STRING", "catalog.schema.table"),
        ("module_name", "STRING", "the module whose job keeps the table as declared"),
        ("definition", "STRING", "JSON: columns, keys, comments, properties"),
        _ACTIVE,
        _CREATED,
        _UPDATED,
        ("applied_fingerprint", "STRING", "fingerprint of the definition at the last clean sync"),
        ("applied_version", "BIGINT", "mark of the table's state after the last clean sync"),
    ),
    keys=("table_name",),
    contract=6,
)

DDL_SCRIPTS = TableLayout(
    suffix="_ddl_scripts",
    comment="one row per DDL script",
    columns=columns(
        ("script_id", "STRING", "identity: target/release/name"),
        ("target", "STRING", "what the script belongs to; targets run in parallel"),
        ("release", "STRING", "the release folder, e.g. 001_init"),
        ("ordinal", "INT", "position inside the release"),
        ("script_name", "STRING", "name of the script without its number"),
        ("language", "STRING", "sql or py"),
        ("body", "STRING", "the text of the script"),
        ("checksum", "STRING", "SHA-256 of the text"),
        _ACTIVE,
        _CREATED,
        _UPDATED,
    ),
    keys=("script_id",),
    contract=11,
)

FILES = TableLayout(
    suffix="_files",
    comment="the ingestor's ledger: one row per file and content, for each target",
    columns=columns(
        ("file_path", "STRING", "where the file was found"),
        ("file_hash", "STRING", "SHA-256 of the file's bytes"),
        ("status", "STRING", "pending, processing, success or failed"),
        ("processed_at", "TIMESTAMP", "when the file reached its status"),
        ("record_count", "BIGINT", "rows that the file brought"),
        ("error_message", "STRING", "why the file failed, or why it was skipped"),
        ("target_table", "STRING", "the table that the file goes to, in lower case"),
        ("size_bytes", "BIGINT", "size of the file"),
        ("modified_at", "TIMESTAMP", "modification time of the file"),
        ("batch_id", "STRING", "application id and version of the Delta transaction"),
        ("attempt", "BIGINT", "how often the file was claimed"),
        ("lease_owner", "STRING", "the process that claimed the file"),
        ("lease_until", "TIMESTAMP", "the claim's lease when it was made; its lane renews it"),
        ("duplicate_of", "STRING", "path of the file that brought the same bytes first"),
        ("fence", "BIGINT", "rises by 1 with each change; guards concurrent writers"),
    ),
    keys=("target_table", "file_path", "file_hash"),
    contract=6,
)

EVENTS = TableLayout(
    suffix="_events",
    comment="append-only: what the controller did",
    columns=columns(
        ("at", "TIMESTAMP", "when"),
        ("actor", "STRING", "who"),
        ("verb", "STRING", "sync, sql, apply, run, …"),
        ("object", "STRING", "module, table or script"),
        ("action", "STRING", "added, changed, removed, created, updated, …"),
        ("before", "STRING", "JSON: what was there"),
        ("after", "STRING", "JSON: what is there now"),
        ("outcome", "STRING", "done or failed"),
        ("error", "STRING", "why it failed"),
    ),
    keys=(),
    contract=9,
)

STATE = TableLayout(
    suffix="_state",
    comment="cursors and leases of the controller",
    columns=columns(
        ("key", "STRING", "name of the cursor or lease"),
        ("value", "STRING", "JSON"),
        ("fence", "BIGINT", "rises by 1 with each change; guards concurrent writers"),
    ),
    keys=("key",),
    contract=2,
)

EXECUTIONS = TableLayout(
    suffix="ddl_script_executions",
    comment="append-only: one row per execution of a DDL script",
    columns=columns(
        ("script_id", "STRING", "identity of the script", False),
        ("script_name", "STRING", "name of the script", False),
        ("execution_status", "STRING", "Success or Failure", False),
        ("update_date", "TIMESTAMP", "when the execution ended", False),
        ("checksum", "STRING", "SHA-256 of the text that ran"),
        ("started_at", "TIMESTAMP", "when the execution started"),
        ("duration_seconds", "DOUBLE", "how long it took"),
        ("error", "STRING", "why it failed"),
        ("run_id", "STRING", "the run it was part of"),
        ("executed_by", "STRING", "who ran it"),
        ("target", "STRING", "the target it ran for"),
    ),
    keys=(),
    contract=4,
)

LAYOUTS = (
    SOURCES,
    JOBS,
    MODULES,
    TABLES,
    DDL_SCRIPTS,
    FILES,
    EXTRACTS,
    EXTRACT_DETAILS,
    EXTRACT_RUNS,
    EVENTS,
    STATE,
    EXECUTIONS,
)


@dataclass(frozen=True, slots=True)
class ControlTables:
    """The family of control tables around the one name that users give."""

    sources: TableName

    @classmethod
    def named(cls, control_table: str) -> ControlTables:
        """The family of ``catalog.schema.table``. Raises ConfigError."""
        return cls(TableName.parse(control_table))

    def of(self, layout: TableLayout) -> TableName:
        """The name of one member of the family."""
        if layout is EXECUTIONS:
            return self.sources.sibling(layout.suffix)
        return self.sources.sibling(self.sources.name + layout.suffix)

    def all(self) -> dict[TableName, TableLayout]:
        """Every member with its layout."""
        return {self.of(layout): layout for layout in LAYOUTS}
