from pathlib import Path

import pytest

from sidecar.config.reload import reloaded
from sidecar.errors import ConfigInvalid
from tests.config.files import loaded


def test_what_can_applies_at_once_and_the_rest_waits(tmp_path: Path) -> None:
    old = loaded(tmp_path, "workers: 1\nbackends: [a:1]\nsampling: {rate: 0.1}\n").config
    new = loaded(
        tmp_path, "workers: 2\nbackends: [a:1, b:1]\nsampling: {rate: 0.2}\nlog: {level: debug, format: json}\n"
    ).config
    after = reloaded(old, new)
    assert after.live == ("backends", "sampling.rate", "log.level")
    assert after.restart == ("workers", "log.format")
    assert (after.config.workers, len(after.config.backends), after.config.sampling.rate) == (1, 2, 0.2)
    assert (after.config.log.level, after.config.log.format) == ("debug", "text")


def test_a_secret_that_changes_is_a_change(tmp_path: Path) -> None:
    old = loaded(tmp_path, "backends: ['a:1,header.k=1']\n").config
    assert reloaded(old, loaded(tmp_path, "backends: ['a:1,header.k=2']\n").config).live == ("backends",)


def test_nothing_changed(tmp_path: Path) -> None:
    config = loaded(tmp_path, "backends: [a:1]\n").config
    assert reloaded(config, config) == (config, (), ())


def test_a_mixture_that_breaks_a_rule_is_refused(tmp_path: Path) -> None:
    """The new file is well by itself; with the listener that stays it would send to itself."""
    old = loaded(tmp_path, "listen: a:1\nbackends: [b:1]\n").config
    new = loaded(tmp_path, "listen: b:1\nbackends: [a:1]\n").config
    with pytest.raises(ConfigInvalid, match="send to itself"):
        reloaded(old, new)
