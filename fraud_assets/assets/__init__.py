"""The assets: thin functions that read input, call `ml`, call a resource, and return value and metadata."""
