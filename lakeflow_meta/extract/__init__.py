"""Extracts: data out of tables, views and queries into files, as control tables say."""
