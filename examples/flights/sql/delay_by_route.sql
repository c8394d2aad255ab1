CREATE OR REPLACE TABLE nyc.gold.delay_by_route
COMMENT 'how late each route is, for routes with at least 100 flights'
AS
SELECT
  route,
  max(dest_name)           AS dest_name,
  count(*)                 AS flights,
  round(avg(arr_delay), 1) AS mean_arrival_delay,
  max(arr_delay)           AS worst_arrival_delay
FROM nyc.silver.flights
GROUP BY route
HAVING count(*) >= 100;
