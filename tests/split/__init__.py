"""What goes out, against what came in: scan, sample, assign and split as a worker runs them, and oracles beside them."""
