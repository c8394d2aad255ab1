-- Generated from lakeflow_meta/control/tables.py by `make ddl`. Do not edit.
CREATE TABLE IF NOT EXISTS `main`.`lakeflow`.`etl_control_tables` (
  `table_name` string COMMENT 'catalog.schema.table',
  `module_name` string COMMENT 'the module whose job keeps the table as declared',
  `definition` string COMMENT 'JSON: columns, keys, comments, properties',
  `is_active` boolean COMMENT 'false is a soft delete: kept, but not part of the job',
  `created_timestamp` timestamp COMMENT 'when the row was first recorded',
  `updated_timestamp` timestamp COMMENT 'when the row last changed',
  `applied_fingerprint` string COMMENT 'fingerprint of the definition at the last clean sync',
  `applied_version` bigint COMMENT 'mark of the table\'s state after the last clean sync'
)
USING delta
COMMENT 'one row per declared Delta table'
TBLPROPERTIES ('delta.enableDeletionVectors' = 'false', 'delta.enableRowTracking' = 'false', 'lakeflow_meta.layout' = '1');
