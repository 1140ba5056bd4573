"""Bodies of verifications over the demo's residents, each true of its subject, one a line. Usage: subjects.py RESIDENTS.parquet"""
import json, sys
import pyarrow.parquet as parquet

table = parquet.read_table(sys.argv[1], columns=["id_number", "name", "education"]).to_pylist()
for row in table:
    print(json.dumps({"product": "education-verified", "purpose": "loan-application", "claim": row["education"],
                      "identity": {"id_number": row["id_number"], "name": row["name"]}}, ensure_ascii=False))
