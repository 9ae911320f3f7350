-- Dagster's own database is POSTGRES_DB. This file runs once, when the volume is new.
CREATE DATABASE mlflow;
