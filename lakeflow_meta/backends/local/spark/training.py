"""The training session of `class_archive`: ``python -m … CACHE HOME ARCHIVE``.

Does once what a first task does, so that the classes of it are in the archive.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lakeflow_meta.backends.local.spark.session import EmbeddedSpark

_CSV = "id,name,at\n1,one,2020-01-01 00:00:00\n2,two,2020-01-02 00:00:00\n"
_STATEMENTS = """
CREATE SCHEMA IF NOT EXISTS main.training;
CREATE TABLE main.training.t (id INT, name STRING, at TIMESTAMP) USING delta;
INSERT INTO main.training.t SELECT id, name, at FROM training_csv;
MERGE INTO main.training.t t USING training_csv s ON t.id = s.id
  WHEN MATCHED AND t.name <> s.name THEN UPDATE SET t.name = s.name
  WHEN NOT MATCHED THEN INSERT (id, name, at) VALUES (s.id, s.name, s.at);
MERGE INTO main.training.t t USING (SELECT 2 AS id, 'zwei' AS name) s ON t.id = s.id
  WHEN MATCHED THEN UPDATE SET t.name = s.name;
CREATE OR REPLACE TABLE main.training.u AS
  SELECT name, count(*) AS n, max(at) AS at FROM main.training.t GROUP BY name ORDER BY n;
ALTER TABLE main.training.u ADD COLUMN note STRING COMMENT 'c';
SELECT t.*, u.n FROM main.training.t t LEFT JOIN main.training.u u ON t.name = u.name;
DESCRIBE DETAIL main.training.t;
DESCRIBE HISTORY main.training.t;
SHOW TABLES IN main.training
"""


def train(cache: Path, home: Path, archive: Path) -> None:
    """Run the statements; the JVM writes the archive while it ends."""
    home.mkdir(parents=True, exist_ok=True)
    source = home / "training.csv"
    source.write_text(_CSV, encoding="utf-8")
    options = {"spark.driver.extraJavaOptions": f'-XX:ArchiveClassesAtExit="{archive}"'}
    engine = EmbeddedSpark(home, cache=cache, conf=options, archive=False)
    spark = engine.session()
    frame = spark.read.csv(str(source), header=True, schema="id int, name string, at timestamp")
    frame.createOrReplaceTempView("training_csv")
    for statement in _STATEMENTS.split(";"):
        spark.sql(statement).collect()
    json_lines = home / "training_json"
    frame.write.mode("overwrite").json(str(json_lines))
    spark.read.json(str(json_lines)).write.mode("append").saveAsTable("main.training.j")
    engine.stop()


if __name__ == "__main__":
    train(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
