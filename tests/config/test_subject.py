from pathlib import Path

import pytest

from sidecar.config.subject import Subject, subject_of
from sidecar.errors import ConfigInvalid
from tests.config.files import written


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("workers: 1", Subject.GATEWAY),
        ("global: {}", Subject.FLEET),
        ("local: {}", Subject.FLEET),
        ("global: {}\nlocal: {}\nzzz: 1", Subject.FLEET),
        ("globl: {}", Subject.FLEET),
        ("sampling_strategies: []\nglobal_sampling_rate: 1", Subject.FLEET),
        ("routing: {}", Subject.GATEWAY),
        ("zzz: 1", Subject.GATEWAY),
        ("sampling_strategies: []\nworkers: 1", Subject.GATEWAY),
        ("", Subject.GATEWAY),
        ("workers: [", Subject.GATEWAY),
    ],
)
def test_top_level_keys_tell(tmp_path: Path, text: str, subject: Subject) -> None:
    assert subject_of(written(tmp_path, text + "\n")) is subject


def test_a_mixture_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "workers: 1\nglobal: {}\nlocal: {}\n")
    with pytest.raises(ConfigInvalid) as caught:
        subject_of(file)
    assert [(problem.path, problem.line) for problem in caught.value.problems] == [("global", 2), ("local", 3)]
    assert caught.value.problems[0].message == "is for a fleet, and workers in line 1 for a gateway"
