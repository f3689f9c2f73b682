"""A series that is CSV, made into a Parquet file with pyarrow: batch by batch, so its size does not matter.

BRH_BLOB_CONNECTION_STRING=... python read_pyarrow.py T1 cashflows cashflows.parquet
"""

from __future__ import annotations

import sys

import pyarrow.csv
import pyarrow.parquet
from series_stream import opened


def main() -> None:
    transaction, series, path = sys.argv[1:]
    with opened(transaction, series) as stream, pyarrow.csv.open_csv(stream) as batches:
        with pyarrow.parquet.ParquetWriter(path, batches.schema) as parquet:
            for batch in batches:
                parquet.write_batch(batch)


if __name__ == "__main__":
    main()
