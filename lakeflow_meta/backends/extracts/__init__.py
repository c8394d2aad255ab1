"""Extracts at the doors: rows of Spark, and files of text and Parquet in folders."""
