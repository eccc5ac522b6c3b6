"""Do jobs on Spark's Python workers, and stop right after the action."""

from __future__ import annotations

from pyspark.sql import SparkSession

from tests.jobs.programs.job import call, jobs

every = jobs()
spark = (
    SparkSession.builder.master(f"local[{len(every)}]")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.ui.enabled", "false")
    .getOrCreate()
)
spark.sparkContext.parallelize(every, len(every)).foreach(call)
spark.stop()
