"""Cuts the slice of the Online Retail files that the tests use: slice.py FOLDER OUT

Kept are all lines of every seventh customer, the lines without a customer of every twentieth invoice, and those with a negative price, as they
are and in their order; one gzipped CSV file a month instead of a day. Nothing is changed or made up.
"""

import csv
import gzip
import io
import pathlib
import sys


def kept(line):
    customer, invoice = line["CustomerID"], line["InvoiceNo"]
    if customer:
        return int(float(customer)) % 7 == 0
    return int("".join(filter(str.isdigit, invoice))) % 20 == 0 or line["UnitPrice"].startswith("-")


def main(folder, out):
    months = {}
    for path in sorted(pathlib.Path(folder).glob("*.csv.gz")):
        with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            months.setdefault(path.name[:7], [rows.fieldnames]).extend(list(row.values()) for row in rows if kept(row))
    for month, rows in months.items():
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(rows)
        # Neither name nor time in the header: the same lines give the same bytes.
        packed = gzip.compress(text.getvalue().encode(), 9, mtime=0)
        (pathlib.Path(out) / f"{month}.csv.gz").write_bytes(packed)


main(*sys.argv[1:])
