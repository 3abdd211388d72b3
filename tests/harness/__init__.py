"""What the tests with real processes are made of: a gateway, backends, clients, load, and a network that misbehaves."""
