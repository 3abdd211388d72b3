"""`spangate explain`: the gateway's own answer to where something would go, and why."""

from __future__ import annotations

import click
import msgspec

from sidecar.cli import admin as gateway
from sidecar.model import Endpoint, Signal
from sidecar.snapshot import Explanation, Question

EPILOG = """
\b
Examples:
  spangate explain --trace-id 5b8efff798038103d269b633813fc60c
  spangate explain --trace-id 5b8efff798038103d269b633813fc60c --service checkout
  spangate explain --service checkout --signal metrics
"""


@click.command("explain", epilog=EPILOG)
@click.option("--trace-id", metavar="HEX", help="The trace: 32 hexadecimal digits.")
@click.option("--service", metavar="NAME", help="The `service.name` of the sender.")
@click.option(
    "--signal",
    type=click.Choice([signal.value for signal in Signal]),
    default=Signal.TRACES.value,
    show_default=True,
    help="What is sent.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the answer as the admin gives it.")
@gateway.option
def command(trace_id: str | None, service: str | None, signal: str, as_json: bool, admin: Endpoint) -> None:  # noqa: FBT001  click passes a flag
    """Tell where a trace or a service would go, kept or not, and why. Nothing is sent: the gateway is asked."""
    question = Question.read(trace_id, service, signal)
    answer = gateway.ask(
        admin, "/explain", Explanation, trace_id=question.trace_id, service=service, signal=str(question.signal)
    )
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())
        return
    for name, told in _lines(answer):
        click.echo(f"{name:<10}{told}")


def _lines(answer: Explanation) -> list[tuple[str, str]]:
    question = answer.question
    by = f"{answer.strategy}, policy generation {answer.generation}"
    by += "" if answer.slot is None else f", slot {answer.slot}"
    by += f", view epoch {answer.view_epoch}" if answer.view_epoch else ""
    rule = f", by the rule for {answer.rule}" if answer.rule else ""
    lines = [
        ("signal", str(question.signal)),
        ("trace", question.trace_id or ""),
        ("service", question.service or ""),
        ("region", f"{answer.region}{rule}" if answer.region else ""),
        ("goes to", answer.owner or "no fixed backend"),
        ("", f"by {by}"),
        ("else to", ", then ".join(answer.next_owners)),
        ("down", ", ".join(answer.down)),
        ("kept", f"{_KEPT[answer.kept]}, rate {answer.sampling_rate:g}"),
        *zip(["why", *[""] * len(answer.reasons)], answer.reasons, strict=False),
    ]
    return [(name, told) for name, told in lines if told]


_KEPT = {True: "yes", False: "no, sampled out", None: "depends on the trace id"}
