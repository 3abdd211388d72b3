"""Tests of sidecar.telemetry."""
