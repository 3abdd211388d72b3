"""The configuration: read from file, environment and flags by `load`, a frozen `GatewayConfig` from then on."""
