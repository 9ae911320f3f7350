"""The science: plain Python on arrays and tables; imports no dagster, no ray, no mlflow."""
