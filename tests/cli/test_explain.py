import json

import pytest

from sidecar.cli import admin as asking
from sidecar.cli import explain as explaining
from sidecar.errors import Exit, QuestionInvalid
from sidecar.model import Endpoint, Signal
from sidecar.snapshot import Explanation, Question
from tests.admin.fake_gateway import FakeGateway
from tests.cli.command_line import spangate

TRACE = "5b8efff798038103d269b633813fc60c"


def test_a_trace(capsys: pytest.CaptureFixture[str], admin: Endpoint, gateway: FakeGateway) -> None:
    ended = spangate(capsys, "explain", "--trace-id", TRACE.upper(), "--service", "checkout", "--admin", str(admin))
    assert gateway.question == Question(trace_id=TRACE, service="checkout")
    assert ended == (
        Exit.OK,
        f"""\
signal    traces
trace     {TRACE}
service   checkout
goes to   blue
          by consistent_hash, policy generation 4, slot 51213
else to   b:4317
kept      yes, rate 0.5
why       the randomness is not below the threshold
          no rule names the service
""",
        "",
    )


def test_a_service(capsys: pytest.CaptureFixture[str], admin: Endpoint, gateway: FakeGateway) -> None:
    ended = spangate(capsys, "explain", "--service", "checkout", "--signal", "logs", "--admin", str(admin))
    assert gateway.question == Question(signal=Signal.LOGS, service="checkout")
    assert "kept      depends on the trace id, rate 0.5" in ended.out


def test_the_region_its_rule_and_its_view() -> None:
    question = Question(trace_id=TRACE, service="critical-pay")
    answer = Explanation(
        question=question,
        generation=1,
        strategy="consistent_hash",
        owner="c1",
        region="west",
        rule="critical-*",
        view_epoch=7,
        down=("c2", "c3"),
    )
    lines = explaining._lines(answer)
    assert ("region", "west, by the rule for critical-*") in lines
    assert ("", "by consistent_hash, policy generation 1, view epoch 7") in lines
    assert ("down", "c2, c3") in lines


def test_json_for_scripts(capsys: pytest.CaptureFixture[str], admin: Endpoint) -> None:
    ended = spangate(capsys, "explain", "--service", "a", "--json", "--admin", str(admin))
    assert json.loads(ended.out)["owner"] == "blue"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "error: nothing is asked about"),
        (["--trace-id", "12"], "error: no trace id: '12'"),
        (["--trace-id", "0" * 32], "error: no trace id"),
        (["--service", "a", "--signal", "spans"], "error: invalid value for '--signal'"),
    ],
)
def test_a_question_that_makes_no_sense(capsys: pytest.CaptureFixture[str], arguments: list[str], error: str) -> None:
    ended = spangate(capsys, "explain", *arguments)
    assert ended.code == Exit.USAGE
    assert ended.err.startswith(error)


def test_a_question_that_the_gateway_refuses(admin: Endpoint) -> None:
    with pytest.raises(QuestionInvalid, match="no trace id: '12'"):
        asking.ask(admin, "/explain", Explanation, trace_id="12")
