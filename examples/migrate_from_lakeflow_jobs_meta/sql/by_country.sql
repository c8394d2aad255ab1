CREATE OR REPLACE TABLE main.sales.by_country AS
SELECT country, count(*) AS customers FROM main.sales.customers GROUP BY country
