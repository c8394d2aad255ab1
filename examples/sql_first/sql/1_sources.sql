/* One row is one source: one task of its module's job. Eight values, in the order of the columns. */
INSERT INTO etl_control VALUES
  ('weather', 'nyc_weather', 'csv', 1,
   '{"path": "landing", "options": {"nullValue": "NA"},
     "schema": "origin STRING, time_hour TIMESTAMP, temp DOUBLE, humid DOUBLE, wind_speed DOUBLE, precip DOUBLE, visib DOUBLE"}',
   '{"table": "main.default.weather"}', '{}', true),
  ('storm', 'nyc_weather', 'sql', 2, '{}', '{}',
   '{"task_type": "sql_query", "sql_task": {"sql_query":
     "CREATE OR REPLACE TABLE main.default.storm AS SELECT to_date(from_utc_timestamp(time_hour, ''America/New_York'')) AS day, origin, max(wind_speed) AS strongest_wind, min(visib) AS least_visibility, count(*) AS hours FROM main.default.weather GROUP BY ALL"}}',
   true)
