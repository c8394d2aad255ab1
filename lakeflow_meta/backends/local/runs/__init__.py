"""Runs of the embedded workspace: the task graph, its rules, and what is recorded of it."""
