# Databricks notebook source
dbutils.widgets.text("rows", "100")  # noqa: F821 (a global of notebooks)
rows = int(dbutils.widgets.get("rows"))  # noqa: F821

# COMMAND ----------

spark.sql("CREATE SCHEMA IF NOT EXISTS main.sales")  # noqa: F821
countries = "array('DE', 'FR', 'JP')[cast(id % 3 AS int)] AS country"
spark.range(rows).selectExpr("id", countries).write.mode("overwrite").saveAsTable(  # noqa: F821
    "main.sales.customers"
)
