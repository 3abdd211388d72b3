"""foresight: how far the forecast of load is off, beside the naive one that everything stays as it is.

Two sorts of load go through the meter of a gateway (Meter, Scorer): synthetic shapes of a reading a second, and what
a real gateway has received under a generator whose rate changes all the time, read from its ledger once a second.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from math import pi, sin, sqrt

from benchmarks.fleet.ground import heading, note, row
from sidecar.load.forecast import Sample, Score, Scorer, forecast
from sidecar.load.meter import HORIZON_S
from tests.harness.gateway import Gateway
from tests.harness.load import Generator, TrackingSinks

SHAPE_S = 3600
LEVEL = 1000.0
HORIZONS_S = (10.0, HORIZON_S)
READ_S = 1.0
"""As a supervisor does."""
GENERATORS, RATE, SPANS = 20, 20, 20
"""How many at most; the requests per second of each, and the spans of a request."""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="foresight", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=120, help="of the real gateway's load, for each shape; 0: none")
    given = parser.parse_args(arguments)
    heading(
        "Mean absolute error of the forecast of spans/s, in % of the mean load",
        "load",
        "ahead, s",
        "forecast",
        "naive",
        "less than naive by, %",
    )
    for name, shape in SHAPES.items():
        dice = random.Random(1)
        samples = [Sample(float(s), max(dice.gauss(shape(s), sqrt(shape(s))), 0.0)) for s in range(SHAPE_S)]
        report(f"{name}, synthetic", samples)
    for name, shape in RECORDED.items() if given.seconds else ():
        report(f"{name}, recorded from a real gateway", recorded(shape, given.seconds))
    note(f"Synthetic: an hour of {LEVEL:.0f} spans/s in the mean, with the noise of a Poisson process.")


def report(name: str, samples: list[Sample]) -> None:
    mean = sum(value for _, value in samples) / len(samples)
    for horizon_s in HORIZONS_S:
        score = scored(samples, horizon_s)
        row(
            name,
            f"{horizon_s:.0f}",
            f"{score.error / mean * 100:.2f}",
            f"{score.naive_error / mean * 100:.2f}",
            f"{score.skill * 100:+.0f}",
        )


def scored(samples: list[Sample], horizon_s: float) -> Score:
    """The mean of all forecasts whose time has come, as a gateway makes them."""
    total = Score()
    scorer = Scorer(horizon_s)
    errors = naive = 0.0
    for number, sample in enumerate(samples):
        scorer.add(sample, forecast(samples[max(number - 240, 0) : number + 1], horizon_s))
        if number % 500 == 499 or number == len(samples) - 1:  # the scorer forgets after so many
            score = scorer.score()
            errors, naive = errors + score.error * score.forecasts, naive + score.naive_error * score.forecasts
            total = Score(total.forecasts + score.forecasts)
            scorer = Scorer(horizon_s)
    if not total.forecasts:
        raise SystemExit(f"the load is shorter than the {horizon_s:.0f} s of a forecast: --seconds 60 or more")
    return Score(total.forecasts, errors / total.forecasts, naive / total.forecasts)


def recorded(shape: Callable[[float], float], seconds: int) -> list[Sample]:
    """Spans per second that a gateway has received, of as many generators as the shape asks for."""
    with ExitStack() as stack:
        sinks = stack.enter_context(TrackingSinks(2))
        gateway = stack.enter_context(Gateway(sinks.ports))
        begun_s, working = time.monotonic(), list[Generator]()

        def end_all() -> None:
            for generator in working:
                generator.__exit__()

        stack.callback(end_all)
        samples, before = list[Sample](), (begun_s, 0)
        while (at_s := time.monotonic() - begun_s) < seconds:
            wanted = round(GENERATORS * min(max(shape(at_s), 0.0), 1.0))
            while len(working) < wanted:
                seed = len(samples) * GENERATORS + len(working) + 1
                options = {"conns": 1, "streams": 20, "rate": RATE, "seconds": seconds + 60}
                working.append(Generator(gateway.port, spans=SPANS, seed=seed, **options))
            for generator in working[wanted:]:
                generator.stop()
            del working[wanted:]
            time.sleep(max(before[0] + READ_S - time.monotonic(), 0.0))
            now = time.monotonic(), gateway.ledger().received
            samples.append(Sample(now[0] - begun_s, (now[1] - before[1]) / (now[0] - before[0])))
            before = now
    return samples


def _steps() -> Callable[[int], float]:
    dice = random.Random(2)
    levels = [dice.uniform(0.2, 1.8) for _ in range(SHAPE_S // 300 + 1)]
    return lambda s: LEVEL * levels[s // 300]


def _walk() -> Callable[[int], float]:
    dice, levels, level = random.Random(3), list[float](), 1.0
    for _ in range(SHAPE_S):
        level = min(max(level + dice.gauss(0, 0.01), 0.2), 2.0)
        levels.append(LEVEL * level)
    return levels.__getitem__


def _ramps() -> Iterator[tuple[str, Callable[[int], float]]]:
    yield "day and night", lambda s: LEVEL * (1 + 0.8 * sin(2 * pi * s / SHAPE_S))
    yield "waves of 10 minutes", lambda s: LEVEL * (1 + 0.6 * sin(2 * pi * s / 600))
    yield "ramps of 10 minutes", lambda s: LEVEL * (0.2 + 1.6 * abs((s % 1200) / 600 - 1))


SHAPES: dict[str, Callable[[int], float]] = {
    **dict(_ramps()),
    "steps every 5 minutes": _steps(),
    "random walk": _walk(),
    "noise alone": lambda _: LEVEL,
}
RECORDED: dict[str, Callable[[float], float]] = {
    "a ramp up and down": lambda s: 1 - abs(s / 60 - 1),
    "waves of a minute": lambda s: 0.5 + 0.4 * sin(2 * pi * s / 60),
}
