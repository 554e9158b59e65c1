"""Makes the Parquet files of tests/values.rs, as pandas and Spark write them. Run it in the folder; needs pandas and pyarrow."""

import datetime
import decimal

import pandas
import pyarrow
import pyarrow.parquet as parquet

BORN = pandas.Timestamp("1990-05-17")

users = pandas.DataFrame({
    "id": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    "ltv": [10.5, float("nan"), float("inf"), -0.0, 0.30000000000000004, 1e-7],
    "born": [BORN] * 6,
    "born_d": [datetime.date(1990, 5, 17)] * 6,
    "city": pandas.Categorical(["Köln"] * 5 + [None]),
    "tags": [[1, 2], [], None, [3], [4, None], [5]],
    "vip": pandas.array([1, 0, None, 1, 0, 1], dtype="Int8"),
})
table = pyarrow.Table.from_pandas(users, preserve_index=False)
# As pandas writes it where NaN is not its null, which newer versions make of it.
table = table.set_column(1, "ltv", pyarrow.array(users["ltv"].to_numpy(), from_pandas=False))
parquet.write_table(table, "users.parquet")

# An evening in New York, which is the next day in UTC; and one of the year 1600, which nanoseconds do not reach.
EVENING = datetime.datetime(1990, 5, 17, 21, 30)
UTC = datetime.timezone.utc


def times(unit, zone=None):
    moments = [EVENING.replace(tzinfo=UTC) if zone else EVENING, None]
    return pyarrow.array(moments, pyarrow.timestamp(unit, tz=zone))


stamps = pyarrow.table({
    "id": pyarrow.array([1.0, 9912140000000001000.0]),
    "s": times("s"), "ms": times("ms"), "us": times("us"), "ns": times("ns"),
    "s_z": times("s", "UTC"), "ms_z": times("ms", "UTC"), "us_z": times("us", "America/New_York"), "ns_z": times("ns", "Asia/Tokyo"),
    "d64": pyarrow.array([EVENING.date(), None], pyarrow.date64()),
    "words": pyarrow.array(["a", None]).dictionary_encode(),
    "numbers": pyarrow.array([7, None]).dictionary_encode(),
    "days": pyarrow.array([EVENING.date(), None]).dictionary_encode(),
    "floats": pyarrow.array([[4.0, None, float("nan"), 0.5], None], pyarrow.list_(pyarrow.float64())),
    "flags": pyarrow.array([[True, None], []], pyarrow.list_(pyarrow.bool_())),
    "price": pyarrow.array([decimal.Decimal("1.2345"), None], pyarrow.decimal128(10, 4)),
    "vip": pyarrow.array([1.0, None]),
    "nothing": pyarrow.nulls(2),
})
parquet.write_table(stamps, "stamps.parquet", store_schema=True)

# The old form of 96 bits: as pandas writes it, and with Spark's mark.
old = pyarrow.table({
    "id": pyarrow.array([1, 2, 3]),
    "at": pyarrow.array([EVENING, datetime.datetime(1600, 1, 1), None], pyarrow.timestamp("us")),
})
for name, marks in [("int96.parquet", {}), ("int96-spark.parquet", {"org.apache.spark.version": "3.5.1"})]:
    with parquet.ParquetWriter(name, old.schema, use_deprecated_int96_timestamps=True, store_schema=False) as writer:
        writer.write_table(old)
        writer.add_key_value_metadata(marks)
