"""The pipeline: a tick from complete requests to parts in batches."""
