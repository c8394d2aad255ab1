"""Run-once DDL: scripts of numbered releases, each executed once for its target."""
