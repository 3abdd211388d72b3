"""Tests of sidecar.deliver: what an answer means, what is done about it, and how connections are kept."""
