from math import sqrt

import pytest

from sidecar.sampling.plan import ServiceLoad
from sidecar.sampling.track import CALM_S, FALL_S, SURE_S, Track, followed
from tests.sampling.configs import load


def test_what_is_seen_for_the_first_time_is_believed() -> None:
    assert Track().seen(load(100.0, {1: 10.0}), 0.0) == Track(received=100.0, arrived={1: 10.0})


def test_a_rise_beyond_chance_is_believed_at_once() -> None:
    assert Track(received=1000.0).seen(load(10_000.0), 0.001).received == 10_000.0


@pytest.mark.parametrize(("seen", "constant_s"), [(1100.0, CALM_S), (900.0, CALM_S), (100.0, FALL_S)])
def test_everything_else_is_averaged(seen: float, constant_s: float) -> None:
    after = Track(received=1000.0).seen(load(seen), constant_s)
    assert after.received == pytest.approx(1000 + (seen - 1000) * (1 - 1 / 2.718281828))


def test_a_rare_service_that_doubles_is_chance() -> None:
    assert Track(received=1.0).seen(load(2.0), 1.0).received < 1.5


def test_time_that_does_not_pass_changes_nothing() -> None:
    track = Track(received=1000.0, arrived={1: 100.0})
    assert track.seen(load(990.0, {1: 10.0}), 0.0) == track


def test_what_is_no_longer_reported_fades_away() -> None:
    tracks = {"cart": Track(received=100.0)}
    for _ in range(60):
        tracks = followed({}, tracks, 1.0)
    assert tracks == {}


def test_services_are_followed_each_on_its_own() -> None:
    assert list(followed({"b": load(1.0), "a": load(2.0)}, {}, 1.0)) == ["a", "b"]


def biased(track: Track, seen: ServiceLoad, seconds: int) -> Track:
    for _ in range(seconds):
        track = track.seen(seen, 1.0).given(track.rate, 1.0)
    return track


def test_the_true_probability_is_learnt_from_what_is_kept() -> None:
    """Reported as 1/8, really 1/10: at a rate of 0.05 half of it stays, not 40 %."""
    track = Track(received=100.0, arrived={3: 100.0}, rate=0.05)
    assert biased(track, load(100.0, {3: 100.0}, kept=50.0), 120).bias == pytest.approx(1.25, rel=0.01)


def test_a_bias_is_no_more_than_rounding_can_do() -> None:
    track = Track(received=100.0, arrived={3: 100.0}, rate=0.05)
    assert biased(track, load(100.0, {3: 100.0}, kept=1.0), 500).bias == pytest.approx(sqrt(0.5))
    assert biased(track, load(100.0, {3: 100.0}, kept=100.0), 500).bias == pytest.approx(sqrt(2))


def test_reports_from_before_the_rate_say_nothing() -> None:
    track = Track(received=100.0, arrived={3: 100.0}, rate=0.05)
    assert biased(track, load(100.0, {3: 100.0}, kept=100.0), int(SURE_S)).bias == 1.0


def test_a_rate_that_moves_has_to_prove_itself_again() -> None:
    track = Track(received=100.0, rate=0.05, steady_s=50.0)
    assert track.given(0.052, 1.0).steady_s == 51.0
    assert track.given(0.06, 1.0).steady_s == 0.0


def test_what_came_whole_has_no_bias() -> None:
    """What is missing was shed or limited, and is not to be made up for."""
    assert biased(Track(received=100.0, rate=0.5), load(100.0, kept=10.0), 100).bias == 1.0
