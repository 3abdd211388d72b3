"""What the gateway tells of itself to machines: metrics, and the log."""
