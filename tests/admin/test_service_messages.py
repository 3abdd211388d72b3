"""The generated messages against the protocol that they are generated from."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from sidecar.admin.fleet import SERVICE, FleetService
from sidecar.admin.v1 import admin_pb2 as pb
from tests.house.tree import ROOT

SOURCE = ROOT / "protos/spangate/v1/admin.proto"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorSet:
    """What the protoc of today makes of it, with the comments."""
    out = tmp_path_factory.mktemp("protos") / "set"
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-Isidecar/admin/v1={SOURCE.parent}", "--include_source_info"]
    subprocess.run([*protoc, f"--descriptor_set_out={out}", "sidecar/admin/v1/admin.proto"], check=True, timeout=50)
    return FileDescriptorSet.FromString(out.read_bytes())


def test_they_are_up_to_date(compiled: FileDescriptorSet) -> None:
    """If not: tools/protos.sh."""
    written = FileDescriptorProto.FromString(pb.DESCRIPTOR.serialized_pb)
    wanted = FileDescriptorProto.FromString(compiled.file[0].SerializeToString())
    wanted.ClearField("source_code_info")
    for message in wanted.message_type:
        for each in (message, *message.nested_type):
            for field in each.field:
                field.ClearField("json_name")
    assert written == wanted


def test_the_stub_names_the_same_messages_and_fields() -> None:
    stub = ast.parse(Path(str(pb.__file__)).with_suffix(".pyi").read_text(encoding="utf-8"))
    named = {
        node.name: next(ast.literal_eval(part.value) for part in node.body if isinstance(part, ast.Assign))
        for node in stub.body
        if isinstance(node, ast.ClassDef)
    }
    assert named == {
        name: tuple(field.name for field in message.fields)
        for name, message in pb.DESCRIPTOR.message_types_by_name.items()
    }


def test_every_method_is_answered() -> None:
    methods = FleetService(None).methods()  # type: ignore[arg-type]  # nothing is called
    assert list(methods) == [method.name for method in SERVICE.methods]


def test_every_method_is_explained(compiled: FileDescriptorSet) -> None:
    commented = {tuple(place.path) for place in compiled.file[0].source_code_info.location if place.leading_comments}
    service, method = 6, 2  # field numbers of FileDescriptorProto.service and ServiceDescriptorProto.method
    assert [one.name for i, one in enumerate(SERVICE.methods) if (service, 0, method, i) not in commented] == []


def test_what_is_checked_in_runs_with_any_protobuf_that_we_allow() -> None:
    """Newer protoc writes a check of the version that it was released with."""
    assert "runtime_version" not in Path(str(pb.__file__)).read_text(encoding="utf-8")
