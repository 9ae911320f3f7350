"""Reads CSV and Parquet objects into one validated table, with every problem told by object, column and row."""

from fraud_assets.ml.ingest.load import LoadReport, load_dataset

__all__ = ["LoadReport", "load_dataset"]
