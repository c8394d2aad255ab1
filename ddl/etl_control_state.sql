-- Generated from lakeflow_meta/control/tables.py by `make ddl`. Do not edit.
CREATE TABLE IF NOT EXISTS `main`.`lakeflow`.`etl_control_state` (
  `key` string COMMENT 'name of the cursor or lease',
  `value` string COMMENT 'JSON',
  `fence` bigint COMMENT 'rises by 1 with each change; guards concurrent writers'
)
USING delta
COMMENT 'cursors and leases of the controller'
TBLPROPERTIES ('delta.enableDeletionVectors' = 'false', 'delta.enableRowTracking' = 'false', 'lakeflow_meta.layout' = '1');
