"""From who the members are, and how they do, to what the data plane reads: weights, slot tables, sequences."""
