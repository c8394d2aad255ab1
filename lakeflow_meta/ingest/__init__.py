"""Exactly once ingestion of files into Delta tables."""
