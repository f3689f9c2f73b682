"""A series that is CSV, as data frames of pandas: chunk by chunk, so its size does not matter.

    BRH_BLOB_CONNECTION_STRING=... python read_pandas.py T1 cashflows amount

Prints the number of rows and the sum of one column.
"""

from __future__ import annotations

import sys

import pandas as pd
from series_stream import opened

ROWS = 100_000  # of one frame


def main() -> None:
    transaction, series, column = sys.argv[1:]
    rows, total = 0, 0
    with opened(transaction, series) as stream, pd.read_csv(stream, chunksize=ROWS) as frames:
        for frame in frames:
            rows += len(frame)
            total += int(frame[column].sum())
    print(rows, total)


if __name__ == "__main__":
    main()
