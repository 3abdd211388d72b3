"""Tests of sidecar.supervisor: sums over workers, explanations, sockets, limits; and the gateway as a program."""
