-- Generated from lakeflow_meta/control/tables.py by `make ddl`. Do not edit.
CREATE TABLE IF NOT EXISTS `main`.`lakeflow`.`ddl_script_executions` (
  `script_id` string NOT NULL COMMENT 'identity of the script',
  `script_name` string NOT NULL COMMENT 'name of the script',
  `execution_status` string NOT NULL COMMENT 'Success or Failure',
  `update_date` timestamp NOT NULL COMMENT 'when the execution ended',
  `checksum` string COMMENT 'SHA-256 of the text that ran',
  `started_at` timestamp COMMENT 'when the execution started',
  `duration_seconds` double COMMENT 'how long it took',
  `error` string COMMENT 'why it failed',
  `run_id` string COMMENT 'the run it was part of',
  `executed_by` string COMMENT 'who ran it',
  `target` string COMMENT 'the target it ran for'
)
USING delta
COMMENT 'append-only: one row per execution of a DDL script'
TBLPROPERTIES ('delta.enableDeletionVectors' = 'false', 'delta.enableRowTracking' = 'false', 'lakeflow_meta.layout' = '1');
