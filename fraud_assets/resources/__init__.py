"""The outside world, one file a system: object store, Ray, MLflow."""
