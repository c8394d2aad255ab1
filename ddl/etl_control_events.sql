-- Generated from lakeflow_meta/control/tables.py by `make ddl`. Do not edit.
CREATE TABLE IF NOT EXISTS `main`.`lakeflow`.`etl_control_events` (
  `at` timestamp COMMENT 'when',
  `actor` string COMMENT 'who',
  `verb` string COMMENT 'sync, sql, apply, run, …',
  `object` string COMMENT 'module, table or script',
  `action` string COMMENT 'added, changed, removed, created, updated, …',
  `before` string COMMENT 'JSON: what was there',
  `after` string COMMENT 'JSON: what is there now',
  `outcome` string COMMENT 'done or failed',
  `error` string COMMENT 'why it failed'
)
USING delta
COMMENT 'append-only: what the controller did'
TBLPROPERTIES ('delta.enableDeletionVectors' = 'false', 'delta.enableRowTracking' = 'false', 'lakeflow_meta.layout' = '1');
