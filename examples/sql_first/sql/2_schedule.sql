/* What belongs to the job as a whole is a row of etl_control_modules. A job without it needs none. */
INSERT INTO etl_control_modules (module_name, job_config) VALUES
  ('nyc_weather', '{"schedule": {"quartz_cron_expression": "0 30 6 * * ?", "timezone_id": "America/New_York"}, "tags": {"team": "weather"}}')
