# Databricks notebook source
# MAGIC %md
# MAGIC # Delay against weather
# MAGIC Joins each departure with the weather of its airport and hour.

# COMMAND ----------

from pyspark.sql import functions as F  # noqa: N812 (Spark's own convention)

source_id = dbutils.widgets.get("source_id")  # noqa: F821 (given by the runtime)
flights = spark.table("nyc.silver.flights")  # noqa: F821 (given by the runtime)
weather = spark.table("nyc.bronze.weather")  # noqa: F821 (given by the runtime)

# COMMAND ----------

sky = (
    F.when(F.col("visib") < 1, "fog")
    .when(F.col("precip") > 0.1, "heavy rain")
    .when(F.col("precip") > 0, "rain")
    .when(F.col("wind_speed") > 25, "strong wind")
    .otherwise("fair")
)
by_weather = (
    flights.join(weather, ["origin", "time_hour"])
    .groupBy(sky.alias("weather"))
    .agg(
        F.count(F.lit(1)).alias("flights"),
        F.round(F.avg("dep_delay"), 1).alias("mean_departure_delay"),
    )
)
by_weather.write.mode("overwrite").option("overwriteSchema", "true").saveAsTable(
    "nyc.gold.delay_by_weather"
)

# COMMAND ----------

# MAGIC %sql
# MAGIC SELECT * FROM nyc.gold.delay_by_weather ORDER BY mean_departure_delay DESC

# COMMAND ----------

print(f"{source_id}: done")
