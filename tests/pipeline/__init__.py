"""The pipeline of a worker."""
