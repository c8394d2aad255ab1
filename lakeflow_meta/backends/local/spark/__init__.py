"""The embedded Spark: the session, its JVM, and three-level names over a directory."""
