"""Tests of sidecar.admin."""
