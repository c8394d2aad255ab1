-- Flights that took off, with names instead of codes and the age of the aircraft.
CREATE OR REPLACE TABLE nyc.silver.flights
COMMENT 'flights that took off, with carrier, route and aircraft'
AS
SELECT
  make_date(f.year, f.month, f.day)       AS flight_date,
  f.time_hour,
  f.hour,
  f.carrier,
  a.name                                  AS carrier_name,
  f.flight,
  f.tailnum,
  f.origin,
  f.dest,
  concat(f.origin, ' → ', f.dest)         AS route,
  p.name                                  AS dest_name,
  f.dep_delay,
  f.arr_delay,
  f.air_time,
  f.distance,
  2013 - pl.year                          AS aircraft_age
FROM nyc.bronze.flights f
JOIN nyc.bronze.airlines a ON a.carrier = f.carrier
LEFT JOIN nyc.bronze.airports p ON p.faa = f.dest
LEFT JOIN nyc.bronze.planes pl ON pl.tailnum = f.tailnum
WHERE f.dep_time IS NOT NULL;
