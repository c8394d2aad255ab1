CREATE SCHEMA IF NOT EXISTS shop;

CREATE TABLE IF NOT EXISTS shop.customers (
  customer_id int PRIMARY KEY,
  name text NOT NULL,
  email text,
  city text NOT NULL,
  country char(2) NOT NULL,
  since date NOT NULL
);

CREATE TABLE IF NOT EXISTS shop.orders (
  order_id bigint PRIMARY KEY,
  customer_id int NOT NULL REFERENCES shop.customers,
  ordered_at timestamptz NOT NULL,
  changed_at timestamptz NOT NULL,
  status text NOT NULL,
  note text
);

CREATE TABLE IF NOT EXISTS shop.transactions (
  transaction_id bigint PRIMARY KEY,
  order_id bigint NOT NULL,
  booked_at timestamp NOT NULL,
  account text NOT NULL,
  amount numeric(12, 2) NOT NULL,
  currency char(3) NOT NULL
);
