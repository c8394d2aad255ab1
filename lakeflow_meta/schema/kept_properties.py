"""Table properties that Delta and the platform write by themselves. Pure.

They cannot be declared, and nobody takes them away: readers leave them out.
"""

from __future__ import annotations

# Delta 4.4 DeltaConfig.scala: rowTrackingSuspended is set while row ids are removed again, the two
# versions last known to a metastore; MIN_READER_VERSION and its like "is *not* stored as a table
# property", but old logs have them. COLUMN_MAPPING_MAX_ID: "cannot be set by users".
# PROTOCOL.md: Row Tracking (names of materialized columns), In-Commit Timestamps (enablement),
# Checkpoint Protection, Catalog-managed tables (the id that Unity Catalog gives). The statistics
# columns are those that predictive optimization chose:
# https://docs.databricks.com/delta/data-skipping.html
_KEPT = frozenset(
    {
        "clusteringcolumns",
        "delta.columnmapping.maxcolumnid",
        "delta.coordinatedcommits.tableconf-preview",
        "delta.ignoreprotocoldefaults",
        "delta.incommittimestampenablementtimestamp",
        "delta.incommittimestampenablementversion",
        "delta.lastcommittimestamp",
        "delta.lastupdateversion",
        "delta.minreaderversion",
        "delta.minwriterversion",
        "delta.requirecheckpointprotectionbeforeversion",
        "delta.rowtrackingsuspended",
        "delta.workloadbasedcolumns.optimizerstatistics",
        "io.unitycatalog.tableid",
    }
)
_PREFIXES = ("delta.constraints.", "delta.feature.", "delta.rowtracking.materialized")


def is_kept(key: str) -> bool:
    """Whether a property is written by Delta or the platform, and not by people."""
    lowered = key.lower()
    return lowered in _KEPT or lowered.startswith(_PREFIXES)
