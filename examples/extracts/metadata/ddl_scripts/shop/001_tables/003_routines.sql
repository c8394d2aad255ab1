-- The rows of a report: a procedure gives them by a cursor.
CREATE OR REPLACE PROCEDURE shop.financial_report(year int, INOUT report refcursor = 'report')
LANGUAGE plpgsql AS $$
BEGIN
  OPEN report FOR
    SELECT account, currency, count(*) AS bookings, sum(amount)::numeric(14, 2) AS balance
    FROM shop.transactions
    WHERE date_part('year', booked_at) = financial_report.year
    GROUP BY account, currency
    ORDER BY account, currency;
END $$;

-- What has to hold before orders go out; it fails where it does not.
CREATE OR REPLACE PROCEDURE shop.validate_orders()
LANGUAGE plpgsql AS $$
DECLARE wrong bigint;
BEGIN
  SELECT count(*) INTO wrong FROM shop.orders WHERE changed_at < ordered_at;
  IF wrong > 0 THEN
    RAISE EXCEPTION '% orders were changed before they were made', wrong;
  END IF;
END $$;
