"""Coordination: a store that several gateways share, and what is written once over any such store."""
