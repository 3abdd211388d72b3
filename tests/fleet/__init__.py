"""A fleet through the real program: gateways, collectors, etcd and load as processes; what holds between them."""
