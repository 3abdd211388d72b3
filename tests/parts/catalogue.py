"""What the real parts are: one row each, pinned by the go.mod and go.sum beside this file."""

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD_FLAGS = ("-trimpath", "-buildvcs=false", "-ldflags=-s -w")
BUILD_ENV = {"CGO_ENABLED": "0"}


@dataclass(frozen=True, slots=True)
class Part:
    """A program that nobody here wrote, built from the Go module in `source`."""

    name: str
    version: str
    package: str
    source: Path

    def inputs(self) -> list[Path]:
        """The files that decide what is built, in an order that does not depend on the machine."""
        return sorted(p for p in self.source.iterdir() if p.name in {"go.mod", "go.sum"} or p.suffix == ".go")


PARTS = {
    part.name: part
    for part in (
        Part("otelcol", "0.160.0", ".", HERE / "otelcol"),
        Part(
            "telemetrygen",
            "0.160.0",
            "github.com/open-telemetry/opentelemetry-collector-contrib/cmd/telemetrygen",
            HERE / "telemetrygen",
        ),
        Part("etcd", "3.6.16", ".", HERE / "etcd"),
        Part("gosdk", "1.46.0", ".", HERE / "gosdk"),
    )
}
