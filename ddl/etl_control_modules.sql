-- Generated from lakeflow_meta/control/tables.py by `make ddl`. Do not edit.
CREATE TABLE IF NOT EXISTS `main`.`lakeflow`.`etl_control_modules` (
  `module_name` string COMMENT 'the module',
  `job_config` string COMMENT 'JSON: schedule, trigger, clusters, parameters, tags, …',
  `description` string COMMENT 'what people wrote about the module',
  `ddl_targets` string COMMENT 'JSON list: DDL script targets that run before the sources',
  `is_active` boolean COMMENT 'false is a soft delete: kept, but not part of the job',
  `created_timestamp` timestamp COMMENT 'when the row was first recorded',
  `updated_timestamp` timestamp COMMENT 'when the row last changed'
)
USING delta
COMMENT 'one row per module: its job-level settings'
TBLPROPERTIES ('delta.enableDeletionVectors' = 'false', 'delta.enableRowTracking' = 'false', 'lakeflow_meta.layout' = '1');
