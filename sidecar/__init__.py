"""Spangate: an OpenTelemetry gateway.  The command is `spangate` (sidecar.cli); the map of the rooms is docs/architecture.md."""
