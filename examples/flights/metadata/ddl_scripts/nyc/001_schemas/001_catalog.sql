-- Runs once. The next run finds it in ddl_script_executions and skips it.
CREATE CATALOG IF NOT EXISTS nyc;
CREATE SCHEMA IF NOT EXISTS nyc.bronze COMMENT 'as the files brought it';
CREATE SCHEMA IF NOT EXISTS nyc.silver COMMENT 'typed, joined, cleaned';
CREATE SCHEMA IF NOT EXISTS nyc.gold COMMENT 'answers';
