"""SQL over a series that is CSV, with DuckDB: it reads the stream batch by batch, through pyarrow.

    BRH_BLOB_CONNECTION_STRING=... python read_duckdb.py T1 cashflows \
        "SELECT currency, sum(amount) FROM series GROUP BY currency ORDER BY currency"

DuckDB can also read blobs itself, with its extension `azure`. That suits series of one part only: parts end where
payloads end, not where lines do.
"""

from __future__ import annotations

import sys

import duckdb
import pyarrow.csv
from series_stream import opened


def main() -> None:
    transaction, series, query = sys.argv[1:]
    with opened(transaction, series) as stream, duckdb.connect() as database:
        database.register("series", pyarrow.csv.open_csv(stream))
        for row in database.execute(query).fetchall():
            print(*row)


if __name__ == "__main__":
    main()
