-- Two years of a shop: the same rows on every machine.
INSERT INTO shop.customers
SELECT
  n,
  first_names[n % 8 + 1] || ' ' || last_names[n % 7 + 1],
  CASE WHEN n % 11 > 0 THEN lower(first_names[n % 8 + 1]) || n || '@example.org' END,
  cities[n % 6 + 1],
  (ARRAY['DE', 'DE', 'FR', 'FR', 'NL', 'AT'])[n % 6 + 1],
  DATE '2020-01-01' + n * 37 % 1800
FROM generate_series(1, 2000) AS n,
  (SELECT
    ARRAY['Ann', 'Bob', 'Carla', 'Dieter', 'Élodie', 'Femke', 'Günther', 'Hanna'] AS first_names,
    ARRAY['Meyer', 'Dubois', 'de Vries', 'O''Neill', 'Smith, Jr.', 'Gruber', 'Weiß'] AS last_names,
    ARRAY['Berlin', 'Köln', 'Paris', 'Lyon', 'Utrecht', 'Wien'] AS cities) AS words
ON CONFLICT DO NOTHING;

INSERT INTO shop.orders
SELECT
  n,
  n * 7919 % 2000 + 1,
  TIMESTAMPTZ '2024-01-01 06:00+00' + n * interval '35 min',
  TIMESTAMPTZ '2024-01-01 06:00+00' + n * interval '35 min' + n % 5 * interval '1 day',
  (ARRAY['open', 'paid', 'shipped', 'returned'])[n % 4 + 1],
  CASE n % 10 WHEN 0 THEN 'leave at "the door", please' WHEN 1 THEN '' END
FROM generate_series(1, 30000) AS n
ON CONFLICT DO NOTHING;

INSERT INTO shop.transactions
SELECT
  n,
  (n - 1) / 20 + 1,
  TIMESTAMP '2024-01-01 06:00' + ((n - 1) / 20 + 1) * interval '35 min' + n % 20 * interval '1 min',
  'account ' || n % 40,
  (n::bigint * 104729 % 200000 - 20000) / 100.0,
  (ARRAY['EUR', 'EUR', 'EUR', 'CHF'])[n % 4 + 1]
FROM generate_series(1, 600000) AS n
ON CONFLICT DO NOTHING;
