"""usage: people.py ROWS FILE: made-up people for the measurement, as Parquet."""
import sys

import pyarrow as pa
import pyarrow.parquet as pq

rows, path = int(sys.argv[1]), sys.argv[2]
schema = pa.schema([("id", pa.string()), ("name", pa.string()), ("city", pa.string())])
with pq.ParquetWriter(path, schema) as writer:
    for start in range(0, rows, 1_000_000):
        part = range(start, min(start + 1_000_000, rows))
        writer.write_table(
            pa.table(
                [
                    pa.array([f"P{i:09}" for i in part]),
                    pa.array([f"张{i % 1000}" for i in part]),
                    pa.array([str(i % 9) for i in part]),
                ],
                schema=schema,
            )
        )
