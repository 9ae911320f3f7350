"""A Dagster asset graph that turns transactions in S3 into a tuned, honestly evaluated fraud model."""
