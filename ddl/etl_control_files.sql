-- Generated from lakeflow_meta/control/tables.py by `make ddl`. Do not edit.
CREATE TABLE IF NOT EXISTS `main`.`lakeflow`.`etl_control_files` (
  `file_path` string COMMENT 'where the file was found',
  `file_hash` string COMMENT 'SHA-256 of the file\'s bytes',
  `status` string COMMENT 'pending, processing, success or failed',
  `processed_at` timestamp COMMENT 'when the file reached its status',
  `record_count` bigint COMMENT 'rows that the file brought',
  `error_message` string COMMENT 'why the file failed, or why it was skipped',
  `target_table` string COMMENT 'the table that the file goes to, in lower case',
  `size_bytes` bigint COMMENT 'size of the file',
  `modified_at` timestamp COMMENT 'modification time of the file',
  `batch_id` string COMMENT 'application id and version of the Delta transaction',
  `attempt` bigint COMMENT 'how often the file was claimed',
  `lease_owner` string COMMENT 'the process that claimed the file',
  `lease_until` timestamp COMMENT 'the claim\'s lease when it was made; its lane renews it',
  `duplicate_of` string COMMENT 'path of the file that brought the same bytes first',
  `fence` bigint COMMENT 'rises by 1 with each change; guards concurrent writers'
)
USING delta
COMMENT 'the ingestor\'s ledger: one row per file and content, for each target'
TBLPROPERTIES ('delta.enableDeletionVectors' = 'false', 'delta.enableRowTracking' = 'false', 'lakeflow_meta.layout' = '1');
