CREATE OR REPLACE VIEW shop.sales_summary AS
SELECT
  date_trunc('month', t.booked_at)::date AS month,
  c.country,
  count(DISTINCT o.order_id) AS orders,
  sum(t.amount)::numeric(14, 2) AS amount
FROM shop.transactions AS t
JOIN shop.orders AS o USING (order_id)
JOIN shop.customers AS c USING (customer_id)
GROUP BY 1, 2
ORDER BY 1, 2;
