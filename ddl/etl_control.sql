-- Generated from lakeflow_meta/control/tables.py by `make ddl`. Do not edit.
CREATE TABLE IF NOT EXISTS `main`.`lakeflow`.`etl_control` (
  `source_id` string COMMENT 'identity of the source inside its module',
  `module_name` string COMMENT 'the module, and so the job, that the source belongs to',
  `source_type` string COMMENT 'what kind of source it is: file, sql, notebook, …',
  `execution_order` int COMMENT 'sources of one order run in parallel, after all lower ones',
  `source_config` string COMMENT 'JSON: where the data comes from',
  `target_config` string COMMENT 'JSON: where the data goes',
  `transformation_config` string COMMENT 'JSON: the task that does the work',
  `is_active` boolean COMMENT 'false is a soft delete: kept, but not part of the job',
  `created_timestamp` timestamp COMMENT 'when the row was first recorded',
  `updated_timestamp` timestamp COMMENT 'when the row last changed',
  `description` string COMMENT 'what people wrote about the source'
)
USING delta
COMMENT 'one row per source: one task of a module'
TBLPROPERTIES ('delta.enableDeletionVectors' = 'false', 'delta.enableRowTracking' = 'false', 'lakeflow_meta.layout' = '1');
