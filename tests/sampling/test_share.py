from sidecar.sampling.share import UNNOTICED, Share

TTL_S = 10.0
UNNOTICED_S = UNNOTICED * TTL_S


def led(share: Share, start_s: int, end_s: int, value: float) -> None:
    for second in range(start_s, end_s):
        share.led(value, float(second))


def test_one_that_never_heard_a_leader_has_an_equal_share() -> None:
    assert Share(TTL_S).without_leader(4, 0.0) == 0.25
    assert Share(TTL_S).without_leader(0, 0.0) == 1.0


def test_what_grew_while_the_leader_may_have_been_gone_does_not_count() -> None:
    share = Share(TTL_S)
    led(share, 0, 100, 0.25)
    led(share, 100, 110, 1.0)
    assert share.without_leader(4, 110.0) == 0.25
    assert share.without_leader(4, 1000.0) == 0.25


def test_load_that_has_moved_for_good_does() -> None:
    share = Share(TTL_S)
    led(share, 0, 100, 0.25)
    led(share, 100, 200, 0.75)
    assert share.without_leader(4, 200.0) == 0.75


def test_a_sum_that_was_late_for_a_moment_does_not() -> None:
    share = Share(TTL_S)
    led(share, 0, 100, 0.5)
    led(share, 100, 104, 1.0)
    led(share, 104, 122, 0.5)
    assert share.without_leader(2, 122.0) == 0.5


def test_what_there_is_has_to_do() -> None:
    share = Share(TTL_S)
    led(share, 0, 3, 0.3)
    assert share.without_leader(2, 3.0) == 0.3


def test_a_leader_that_is_there_for_a_moment_changes_nothing() -> None:
    share = Share(TTL_S)
    led(share, 0, 100, 0.25)
    assert share.without_leader(4, 100.0) == 0.25
    led(share, 110, 114, 1.0)
    assert share.without_leader(4, 114.0) == 0.25
    led(share, 120, 120 + round(UNNOTICED_S) + 2, 0.5)
    assert share.without_leader(4, 120 + UNNOTICED_S + 2) == 0.5
