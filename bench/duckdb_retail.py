"""The work of examples/online-retail in DuckDB: what `taghouse ingest` and `taghouse produce` are compared with.

    duckdb_retail.py ingest DATABASE FOLDER       the files into a new database file
    duckdb_retail.py produce DATABASE             the tags as of 2011-12-10T00:00, each a table

Prints one JSON object: the seconds from opening the file to closing it, and answers that must equal ours. Python's own start is not timed.
"""
import json
import os
import sys
import time

import duckdb

# As ours: typed columns, London's time, rows without a user kept apart with their place, events in order of days, all of it durable.
INGEST = """
SET TimeZone = 'UTC';
CREATE TEMP TABLE lines AS
  SELECT *, row_number() OVER () AS row FROM read_csv('{folder}/*.csv.gz', header = true, filename = true, delim = ',', quote = '"', escape = '"',
    columns = {{'InvoiceNo': 'VARCHAR', 'StockCode': 'VARCHAR', 'Description': 'VARCHAR', 'Quantity': 'BIGINT',
      'InvoiceDate': 'TIMESTAMP', 'UnitPrice': 'DECIMAL(18, 4)', 'CustomerID': 'DOUBLE', 'Country': 'VARCHAR'}});
CREATE TABLE events AS
  SELECT CAST(CAST(CustomerID AS BIGINT) AS VARCHAR) AS user_id, CASE WHEN InvoiceNo LIKE 'C%' THEN 'refund' ELSE 'purchase' END AS event,
    InvoiceDate AT TIME ZONE 'Europe/London' AS time, parse_filename(filename) || ':' || lpad(CAST(row AS VARCHAR), 9, '0') AS message_id,
    InvoiceNo AS invoice, StockCode AS sku, Quantity AS quantity, UnitPrice AS unit_price, Country AS country
  FROM lines WHERE CustomerID IS NOT NULL ORDER BY CAST(InvoiceDate AS DATE);
CREATE TABLE rejected_events AS
  SELECT parse_filename(filename) AS file, row, 'no_user_id' AS reason, concat_ws(',', InvoiceNo, StockCode, Description, Quantity,
    InvoiceDate, UnitPrice, Country) AS raw FROM lines WHERE CustomerID IS NULL;
DROP TABLE lines;
CHECKPOINT;
"""

AS_OF = "TIMESTAMPTZ '2011-12-10T00:00:00Z'"  # London is at UTC in winter; the windows begin in winter or at a summer's midnight


def begin(days):
    """The midnight in London at which a window of so many days begins."""
    return f"(TIMESTAMP '2011-12-10' - INTERVAL {days} DAY) AT TIME ZONE 'Europe/London'"


PURCHASES = f"FROM events WHERE event = 'purchase' AND time < {AS_OF}"
REFUNDS = f"FROM events WHERE event = 'refund' AND time < {AS_OF}"
TAGS = {
    "country": f"SELECT user_id, arg_max(country, (time, message_id)) AS value FROM events WHERE time < {AS_OF} GROUP BY user_id",
    "countries": f"SELECT user_id, list_sort(list(DISTINCT country)) AS value FROM events WHERE time < {AS_OF} GROUP BY user_id",
    "orders_30d": f"SELECT user_id, count(DISTINCT invoice) AS value {PURCHASES} AND time >= {begin(30)} GROUP BY user_id",
    "spend_365d": f"SELECT user_id, sum(quantity * unit_price) AS value {PURCHASES} AND time >= {begin(365)} GROUP BY user_id",
    "refunds_90d": f"SELECT user_id, count(*) AS value {REFUNDS} AND time >= {begin(90)} GROUP BY user_id",
    "skus": f"SELECT user_id, count(DISTINCT sku) AS value {PURCHASES} GROUP BY user_id",
    "last_purchase": f"SELECT user_id, max(time) AS value {PURCHASES} GROUP BY user_id",
    "top_sku": f"""SELECT user_id, arg_min(sku, (-n, sku)) AS value
      FROM (SELECT user_id, sku, count(*) AS n {PURCHASES} GROUP BY user_id, sku) GROUP BY user_id""",
    "orders": f"SELECT user_id, count(DISTINCT invoice) AS value {PURCHASES} GROUP BY user_id",
    "refunds": f"SELECT user_id, count(*) AS value {REFUNDS} GROUP BY user_id",
    "value_band": """SELECT user_id, CASE WHEN value >= 5000 THEN 'gold' WHEN value >= 1000 THEN 'silver' ELSE 'bronze' END AS value
      FROM tag_spend_365d WHERE value > 0""",
    "refund_rate": """SELECT user_id, CAST(round(coalesce(r.value, 0) / o.value, 4) AS DECIMAL(18, 4)) AS value
      FROM tag_orders o LEFT JOIN tag_refunds r USING (user_id)""",
}

CHECKS = {
    "orders_30d >= 1": "SELECT count(*) FROM tag_orders_30d WHERE value >= 1",
    "orders_30d >= 2": "SELECT count(*) FROM tag_orders_30d WHERE value >= 2",
    "spend_365d users": "SELECT count(*) FROM tag_spend_365d",
    "spend_365d total": "SELECT sum(value) FROM tag_spend_365d",
    "refunds_90d >= 1": "SELECT count(*) FROM tag_refunds_90d WHERE value >= 1",
}


def ingest(database, folder):
    if os.path.exists(database):
        os.remove(database)
    start = time.perf_counter()
    connection = duckdb.connect(database)
    connection.execute(INGEST.format(folder=folder))
    connection.close()
    seconds = time.perf_counter() - start
    check = duckdb.connect(database, read_only=True)
    count = lambda table: check.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return {"seconds": seconds, "accepted": count("events"), "rejected": count("rejected_events")}


def produce(database):
    start = time.perf_counter()
    connection = duckdb.connect(database)
    connection.execute("SET TimeZone = 'UTC'; BEGIN")
    for name, query in TAGS.items():
        connection.execute(f"CREATE OR REPLACE TABLE tag_{name} AS {query}")
    connection.execute("COMMIT; CHECKPOINT")
    connection.close()
    seconds = time.perf_counter() - start
    check = duckdb.connect(database, read_only=True)
    return {"seconds": seconds, "answers": {name: str(check.execute(query).fetchone()[0]) for name, query in CHECKS.items()}}


print(json.dumps({"ingest": ingest, "produce": produce}[sys.argv[1]](*sys.argv[2:])))
