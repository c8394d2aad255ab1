"""Files into Delta tables through Spark: one batch, one transaction."""
