-- Generated from lakeflow_meta/control/tables.py by `make ddl`. Do not edit.
CREATE TABLE IF NOT EXISTS `main`.`lakeflow`.`etl_control_jobs` (
  `module_name` string COMMENT 'the module',
  `job_id` bigint COMMENT 'the job on the platform',
  `job_name` string COMMENT 'the job\'s display name',
  `created_timestamp` timestamp COMMENT 'when the row was first recorded',
  `updated_timestamp` timestamp COMMENT 'when the row last changed',
  `settings_fingerprint` string COMMENT 'fingerprint of the settings that were applied',
  `managed_fields` string COMMENT 'JSON: the top-level fields and task keys that were applied',
  `control_version` bigint COMMENT 'version of the sources table that was applied',
  `applied_state` string COMMENT 'JSON: fingerprints of the rows that were applied',
  `is_active` boolean COMMENT 'false after the job was paused because its module went'
)
USING delta
COMMENT 'one row per module that has a job'
TBLPROPERTIES ('delta.enableDeletionVectors' = 'false', 'delta.enableRowTracking' = 'false', 'lakeflow_meta.layout' = '1');
