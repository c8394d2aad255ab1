CREATE OR REPLACE TABLE nyc.gold.delay_by_hour
COMMENT 'delays grow over the day'
AS
SELECT
  hour,
  count(*)                 AS flights,
  round(avg(dep_delay), 1) AS mean_departure_delay
FROM nyc.silver.flights
GROUP BY hour;
