#!/bin/sh
# Make sidecar/admin/v1 from protos/spangate/v1: tools/protos.sh.
#
# With an old release of protoc on purpose: what it writes runs with every protobuf from 5 on, what newer ones write only
# with themselves and newer (docs/decisions/0013-admin-service.md). It needs Python 3.11 or 3.12, in PYTHON if not python3.
set -eu

cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT

"${PYTHON:-python3}" -m venv "$tools/venv"
"$tools/venv/bin/pip" install --quiet "grpcio-tools==1.63.2" "setuptools<80"
# The path that is mapped here is the one that Python imports the messages by.
"$tools/venv/bin/python" -W ignore -m grpc_tools.protoc -Isidecar/admin/v1=protos/spangate/v1 \
    --python_out=. --pyi_out=. sidecar/admin/v1/admin.proto

# Its stubs say Mapping where mypy wants to know of what.
stub=sidecar/admin/v1/admin_pb2.pyi
{ echo '# mypy: disable-error-code="type-arg"' && cat "$stub"; } >"$tools/stub" && cp "$tools/stub" "$stub"
