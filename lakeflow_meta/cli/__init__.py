"""The command line: one short file a group. Imports of commands happen when they run."""
