"""What goes out, against what came in: the stages as a worker runs them, and oracles beside them."""
