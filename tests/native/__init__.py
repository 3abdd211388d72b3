"""The native data plane over real sockets, between raw HTTP/2 peers: a worker in the test's own process and loop."""
