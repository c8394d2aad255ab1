"""Shows the table that the job made, straight from its Delta files."""

from deltalake import DeltaTable

rows = DeltaTable(".lakeflow/warehouse/main/default/storm").to_pyarrow_table().to_pylist()
for row in sorted(rows, key=lambda row: (row["day"], row["origin"])):
    print(f"{row['day']}  {row['origin']}  {row['strongest_wind']:5.1f} mph  {row['hours']} hours")
