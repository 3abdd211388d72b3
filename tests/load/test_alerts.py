"""The alert rules in deploy/alerts: they stand on metrics that there are, and fire when they should and only then."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from sidecar.telemetry.metrics import METRICS
from tests.house.tree import ROOT

FOLDER = ROOT / "deploy/alerts"
RULES: dict[str, Any] = yaml.safe_load((FOLDER / "spangate.rules.yml").read_text())
CASES: dict[str, Any] = yaml.safe_load((FOLDER / "spangate.test.yml").read_text())
ALERTS: list[dict[str, Any]] = [rule for group in RULES["groups"] for rule in group["rules"]]

LABELS = {row.name: row.labels for row in METRICS}
METRIC = re.compile(r"\b(?:spangate|otlp|otelcol)_\w+")
SERIES = re.compile(r"(\w+)\{(.*)\}")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_stands_on_metrics_that_there_are_and_says_what_to_do(alert: dict[str, Any]) -> None:
    metrics = METRIC.findall(alert["expr"])
    assert metrics
    assert [name for name in metrics if name not in LABELS] == []
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert set(alert["annotations"]) == {"summary", "description"}
    known = {"instance", *(label for name in metrics for label in LABELS[name])}
    assert set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"])) <= known


def test_every_alert_is_tested() -> None:
    names = [alert["alert"] for alert in ALERTS]
    assert len(set(names)) == len(names)
    tested = {case["name"].partition(":")[0] for case in CASES["tests"]}
    assert [name for name in names if name not in tested] == []


@pytest.mark.parametrize("case", CASES["tests"], ids=lambda case: case["name"])
def test_the_series_of_a_case_are_as_gateways_show_them(case: dict[str, Any]) -> None:
    for series in case["input_series"]:
        found = SERIES.fullmatch(series["series"])
        assert found, series
        labels = re.findall(r'(\w+)="', found[2])
        assert sorted(labels) == sorted(("instance", *LABELS[found[1]])), series


def test_the_fleet_that_is_well_has_every_metric_that_is_asked_for() -> None:
    """Else that nothing fires there would say nothing."""
    shown = {series["series"].partition("{")[0] for series in CASES["tests"][0]["input_series"]}
    assert {name for alert in ALERTS for name in METRIC.findall(alert["expr"])} <= shown


@pytest.mark.process
def test_promtool_agrees() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        reason = "promtool is not there (Debian: apt-get install prometheus)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    for command in (("check", "rules", "spangate.rules.yml"), ("test", "rules", "spangate.test.yml")):
        done = subprocess.run([promtool, *command], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=50)
        assert done.returncode == 0, done.stdout + done.stderr
