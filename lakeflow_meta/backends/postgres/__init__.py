"""PostgreSQL: connections, statements, rows as they come, and the embedded server."""
