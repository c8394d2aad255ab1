CREATE OR REPLACE TABLE nyc.gold.delay_by_carrier
COMMENT 'how late each carrier leaves and arrives'
AS
SELECT
  carrier_name,
  count(*)                                             AS flights,
  round(avg(dep_delay), 1)                             AS mean_departure_delay,
  round(avg(arr_delay), 1)                             AS mean_arrival_delay,
  round(avg(CASE WHEN arr_delay > 15 THEN 100.0 ELSE 0.0 END), 1) AS percent_late
FROM nyc.silver.flights
GROUP BY carrier_name;

SELECT * FROM nyc.gold.delay_by_carrier ORDER BY mean_departure_delay DESC LIMIT 5;
