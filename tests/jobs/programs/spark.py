"""Do jobs on Spark's Python workers, four in an action, and stop right after each action."""

from __future__ import annotations

from pyspark.sql import SparkSession

from tests.jobs.programs.job import call, jobs

AT_A_TIME = 4

every = jobs()
for first in range(0, len(every), AT_A_TIME):
    spark = (
        SparkSession.builder.master(f"local[{AT_A_TIME}]")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.parallelize(every[first : first + AT_A_TIME], AT_A_TIME).foreach(call)
    spark.stop()
