"""Spangate: an OpenTelemetry gateway. The command is `spangate` (sidecar.cli), its rooms: docs/architecture.md."""
