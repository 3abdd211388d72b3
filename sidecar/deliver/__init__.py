"""Getting parts to their backends: connections, what an answer means, when to try again."""
