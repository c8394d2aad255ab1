-- Generated from lakeflow_meta/control/tables.py by `make ddl`. Do not edit.
CREATE TABLE IF NOT EXISTS `main`.`lakeflow`.`etl_control_ddl_scripts` (
  `script_id` string COMMENT 'identity: target/release/name',
  `target` string COMMENT 'what the script belongs to; targets run in parallel',
  `release` string COMMENT 'the release folder, e.g. 001_init',
  `ordinal` int COMMENT 'position inside the release',
  `script_name` string COMMENT 'name of the script without its number',
  `language` string COMMENT 'sql or py',
  `body` string COMMENT 'the text of the script',
  `checksum` string COMMENT 'SHA-256 of the text',
  `is_active` boolean COMMENT 'false is a soft delete: kept, but not part of the job',
  `created_timestamp` timestamp COMMENT 'when the row was first recorded',
  `updated_timestamp` timestamp COMMENT 'when the row last changed'
)
USING delta
COMMENT 'one row per DDL script'
TBLPROPERTIES ('delta.enableDeletionVectors' = 'false', 'delta.enableRowTracking' = 'false', 'lakeflow_meta.layout' = '1');
