"""The embedded workspace: jobs, runs, tables and volumes in one directory."""
