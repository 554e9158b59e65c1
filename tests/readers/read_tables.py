"""Reads one Iceberg table of Taghouse with other engines; a line for each: its name and, as JSON, what it read.

usage: read_tables.py --catalog CATALOG_DB --app APP --table TABLE --metadata METADATA_JSON --folder TABLE_FOLDER

pyiceberg goes through the catalog's SQLite file, DuckDB by the metadata file, chdb (where it is installed) by the table's folder.
What is read: rows, and of every column how many values it has and, of whole numbers and decimals, the sum in units of the last digit.
The interpreter is that of scripts/peers.sh, or any with pyiceberg[sql-sqlite,pyarrow] and a DuckDB that has the extensions avro and
iceberg installed.
"""
import argparse
import glob
import json
import os
import sys
import sysconfig

import pyarrow as pa


def describe(table):
    answer = {"rows": table.num_rows}
    for name in table.column_names:
        column = table.column(name)
        answer[f"{name}.set"] = len(column) - column.null_count
        if pa.types.is_list(column.type):  # ClickHouse has no null lists, and Taghouse no empty ones
            answer[f"{name}.set"] = sum(1 for v in column.to_pylist() if v)
        if pa.types.is_integer(column.type):
            answer[f"{name}.sum"] = str(sum(v for v in column.to_pylist() if v is not None))
        elif pa.types.is_decimal(column.type):
            scale = column.type.scale
            answer[f"{name}.sum"] = str(sum(int(v.scaleb(scale)) for v in column.to_pylist() if v is not None))
    return answer


def with_pyiceberg(a):
    from pyiceberg.catalog.sql import SqlCatalog
    catalog = SqlCatalog("taghouse", uri=f"sqlite:///{a.catalog}", init_catalog_tables="false")
    table = catalog.load_table((a.app, a.table))
    assert table.metadata_location.removeprefix("file://") == a.metadata, table.metadata_location
    rows = describe(table.scan().to_arrow())
    snapshot = table.current_snapshot()
    if snapshot is not None:
        assert int(snapshot.summary["total-records"]) == rows["rows"], snapshot.summary
        assert int(snapshot.summary["total-data-files"]) == len(list(table.scan().plan_files())), snapshot.summary
    return rows


def with_duckdb(a):
    import duckdb
    extensions = f"{sysconfig.get_path('purelib')}/duckdb_extension_%s/extensions/*/%s.duckdb_extension"
    c = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    for name in ("avro", "iceberg"):  # in this order
        packaged = glob.glob(extensions % (name, name))
        c.load_extension(packaged[0] if packaged else name)
    c.execute("SET TimeZone = 'UTC'")
    return describe(c.execute("SELECT * FROM iceberg_scan(?)", [a.metadata]).to_arrow_table())


def with_chdb(a):
    os.chdir("/")  # it reads files beneath the working folder only
    try:
        import chdb
    except ImportError:
        return None
    found = chdb.query(f"SELECT * FROM icebergLocal('{a.folder}')", "ArrowTable")
    return describe(found)


parser = argparse.ArgumentParser()
for option in ("catalog", "app", "table", "metadata", "folder"):
    parser.add_argument(f"--{option}", required=True)
arguments = parser.parse_args()
for engine, read in (("pyiceberg", with_pyiceberg), ("duckdb", with_duckdb), ("chdb", with_chdb)):
    answer = read(arguments)
    if answer is not None:
        print(engine, json.dumps(answer))
