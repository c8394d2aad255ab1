"""What functions of Spark mean, in Python: the functions that `sql_sqlite` calls. Pure.

A function with a NULL among its arguments is NULL, but for those that say otherwise. Texts are str,
booleans 0 and 1, timestamps microseconds since 1970 UTC, dates days since then. A value that has no
result raises SqlValueError, as ANSI mode does in Spark.
https://spark.apache.org/docs/latest/sql-ref-ansi-compliance.html
"""
