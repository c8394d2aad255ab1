"""The part of Databricks' ``dbutils`` that works on one machine; the rest is refused by name."""
