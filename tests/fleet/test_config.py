"""The configuration of a fleet, changed while spans flow."""

from __future__ import annotations

import hashlib
import re
import subprocess

import msgspec
import pytest

from sidecar.control.records import Blob
from sidecar.errors import Exit
from tests.fleet.stage import Stage
from tests.harness.gateway import SPANGATE
from tests.harness.patience import until

pytestmark = pytest.mark.process


def rate(value: float) -> str:
    return f"global:\n  sampling_rate: {value}\n"


def test_an_apply_under_load_loses_and_splits_nothing(fleet: Stage) -> None:
    with fleet.accounted() as account, fleet.load() as load:
        for text in (
            rate(1.0),
            "global:\n  routing: {strategy: intelligent}\n",
            "global:\n  routing_rules: [{service: 'other-*', target_region: west}]\n",
            "global:\n  rate_limiting: {max_qps: 1000000}\n",
        ):
            said = fleet.gateways[0].apply(text)
            assert said.code == Exit.OK, said
            assert "taken by 4 of 4 gateways" in said.out
        until(fleet.even, "the last one is at all workers")
    assert load.failed == 0
    assert account.forwarded == load.sent > 0
    assert account.split == set()


def test_all_sample_alike_and_keep_or_drop_whole_traces(fleet: Stage) -> None:
    fleet.apply(rate(0.25))
    with fleet.accounted() as account, fleet.load(per_trace=10) as load:
        until(lambda: account.so_far()[1] > 500, "spans are kept")
    assert load.failed == 0
    assert account.sampled_out > account.forwarded > 0
    assert account.forwarded % 10 == 0
    assert len(account.owners) == account.forwarded // 10


def test_what_is_wrong_is_told_and_changes_nothing(fleet: Stage) -> None:
    fleet.apply(rate(0.5))
    before = [gateway.status().generation for gateway in fleet.gateways]
    said = fleet.gateways[1].apply("global:\n  sampling_rate: 5\n  degradation: {threshold: 0.2}\n")
    assert said.code == Exit.USAGE
    assert "applied.yaml:2: global.sampling_rate" in said.err
    assert "recovery_threshold" in said.err
    assert [gateway.status().generation for gateway in fleet.gateways] == before


def test_a_bad_one_in_the_store_is_refused_by_all(fleet: Stage) -> None:
    """Somebody writes past the admin service: every gateway refuses it, says why, and goes on by the former one."""
    fleet.apply(rate(0.5))
    version = fleet.gateways[0].fleet.scopes["global"].applied_version
    for body in ("global: {sampling_rate: 5}\n", "global: {sampling_rate: 0.1}\n"):
        digest = hashlib.sha256(b"global: {sampling_rate: 5}\n").hexdigest()
        blob = Blob(version=version + 1, sha256=digest, body=body)
        fleet.put("config/global", msgspec.json.encode(blob))
        wanted = "sampling_rate" if "5" in body else "checksum"
        for gateway in fleet.gateways:
            until(lambda: wanted in str(gateway.fleet.scopes["global"].refused), "it is refused")  # noqa: B023
            scope = gateway.fleet.scopes["global"]
            assert (scope.applied_version, scope.refused_version) == (version, version + 1)
            assert gateway.status().sampling_rate == 0.5
            assert gateway.metric("spangate_config_refused", scope="global") == 1
            assert gateway.events("a configuration is refused, the old one stays")
    until(lambda: fleet.gateways[0].ask("topology").out.count("refuses") == 4, "people see it")
    fleet.apply(rate(0.75))
    assert {gateway.status().sampling_rate for gateway in fleet.gateways} == {0.75}
    assert all(not gateway.fleet.scopes["global"].refused for gateway in fleet.gateways)


def test_back_to_a_former_version(fleet: Stage) -> None:
    fleet.apply(rate(0.5))
    version = fleet.gateways[0].fleet.scopes["global"].applied_version
    fleet.apply(rate(0.25))
    said = fleet.gateways[3].command("config", "rollback", str(version))
    assert said.code == Exit.OK, said
    assert "taken by 4 of 4 gateways" in said.out
    assert {gateway.status().sampling_rate for gateway in fleet.gateways} == {0.5}
    history = fleet.gateways[2].command("config", "history").out
    assert re.search(rf"^{version + 2} .* back to version {version}$", history, re.MULTILINE)


def test_a_region_of_its_own(fleet: Stage) -> None:
    fleet.apply(rate(0.5))
    fleet.apply("local:\n  regional_sampling_rate: 0.125\n  buffer_size: 5000\n", "--region", "west")
    assert [gateway.status().sampling_rate for gateway in fleet.of("east")] == [0.5, 0.5]
    assert [gateway.status().sampling_rate for gateway in fleet.of("west")] == [0.125, 0.125]
    assert "0.125" in fleet.of("east")[0].command("config", "get", "--region", "west").out
    fleet.apply("local: {}\n", "--region", "west")
    assert {gateway.status().sampling_rate for gateway in fleet.gateways} == {0.5}


def test_of_two_people_the_second_is_told(fleet: Stage) -> None:
    fleet.apply(rate(0.5))
    version = fleet.gateways[0].fleet.scopes["global"].applied_version
    assert fleet.gateways[0].apply(rate(0.6), "--expect", str(version), "--wait", "0s").code == Exit.OK
    said = fleet.gateways[1].apply(rate(0.7), "--expect", str(version), "--wait", "0s")
    assert said.code == Exit.REFUSED
    assert f"at version {version + 1}, not at version {version}" in said.err


def test_the_command_as_a_process(fleet: Stage) -> None:
    command = [str(SPANGATE), "config", "apply", "-", "--admin-socket", str(fleet.gateways[1].socket)]
    said = subprocess.run(command, input=rate(0.5), capture_output=True, text=True, check=True, timeout=20)
    assert re.fullmatch(
        r"global: version \d+ is in force \(revision \d+\)\ntaken by 4 of 4 gateways in \d\.\d s\n", said.stdout
    )
