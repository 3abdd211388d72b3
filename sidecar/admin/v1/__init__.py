"""The messages of the admin service, made from protos/spangate/v1 by tools/protos.sh."""
