from pathlib import Path

import pytest

from sidecar.config.load import Inputs, load
from tests.config.files import loaded, problems, written


def refusal(file: Path) -> tuple[str, int | None]:
    """The one problem of a file that cannot be read as a whole."""
    (problem,) = problems(file)
    assert (problem.path, problem.source) == ("", str(file))
    return problem.message, problem.line


def test_a_missing_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "spangate.yaml") == ("no such file or directory", None)


def test_a_directory(tmp_path: Path) -> None:
    assert refusal(tmp_path) == ("is a directory", None)


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "---\n"])
def test_an_empty_file(tmp_path: Path, text: str) -> None:
    assert refusal(written(tmp_path, text)) == ("is empty", None)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("workers: 1\nlisten: [127.0.0.1:1\n", 3),
        ("workers: 1\n  listen: a:1\n", 2),
        ("workers: 1\n\tlisten: a:1\n", 2),
        ("workers: 1\nregion: 'a\n", 3),
        ("workers: 1\n---\nworkers: 2\n", 2),
        ("workers: 1\nregion: a\x07b\n", 2),
        ("workers: *one\n", 1),
    ],
)
def test_a_syntax_error_has_its_line(tmp_path: Path, text: str, line: int) -> None:
    message, found = refusal(written(tmp_path, text))
    assert message.startswith("is no YAML: ")
    assert found == line


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text\n", "3\n"])
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    assert refusal(written(tmp_path, text)) == ("must hold `key: value` pairs", 1)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "spangate.yaml"
    file.write_bytes(b"workers: 1\nregion: \xff\n")
    assert refusal(file) == ("is not UTF-8", 2)


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    assert "larger than" in refusal(written(tmp_path, "#" * (1 << 20) + "\nworkers: 1\n"))[0]


def test_a_file_that_is_nested_too_deeply(tmp_path: Path) -> None:
    assert refusal(written(tmp_path, "listen: " + "[" * 100_000))[0] == "is nested too deeply"


def test_an_alias_inside_what_it_names(tmp_path: Path) -> None:
    assert "more than" in problems(written(tmp_path, "listen: &a [*a, *a]\n"))[0].message


def test_a_small_file_with_a_large_meaning(tmp_path: Path) -> None:
    layers = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]\n" for i in range(1, 9))
    assert any("more than" in problem.message for problem in problems(written(tmp_path, f"l0: &l0 [a]\n{layers}")))


def test_a_key_that_is_there_twice(tmp_path: Path) -> None:
    text = """
        workers: 1
        batch:
          max_wait: 1s
          max_wait: 2s
        workers: 2
    """
    found = problems(written(tmp_path, text))
    assert [(p.path, p.line, p.message) for p in found] == [
        ("batch.max_wait", 4, "is here twice; the other is in line 3"),
        ("workers", 5, "is here twice; the other is in line 1"),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("workers: !!python/object/apply:os.system [id]\n", "tags mean nothing"),
        ("region: !env REGION\n", "tags mean nothing"),
        ("batch: {<<: {max_wait: 1s}}\n", "merge keys are not supported"),
        ("? [a, b]\n: 1\n", "no text"),
    ],
)
def test_yaml_that_has_no_place_here(tmp_path: Path, text: str, complaint: str) -> None:
    assert complaint in problems(written(tmp_path, text))[0].message


def test_an_alias_is_what_it_names(tmp_path: Path) -> None:
    text = """
        backends:
          - address: a:1
            headers: &key {api-key: secret}
          - address: b:1
            headers: *key
    """
    first, second = loaded(tmp_path, text).config.backends
    assert first.headers["api-key"].reveal() == second.headers["api-key"].reveal() == "secret"


def test_scalars_mean_what_the_setting_wants(tmp_path: Path) -> None:
    """YAML alone would take `no` for false, 12 for a number and 1:30 for ninety."""
    config = loaded(
        tmp_path, 'region: no\nworkers: "2"\nbackends: [{address: a:1, name: 12}, {address: b:1, name: 1:30}]\n'
    ).config
    assert (config.region, config.workers, [b.name for b in config.backends]) == ("no", 2, ["12", "1:30"])


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "spangate.yaml"
    file.write_bytes(b"\xef\xbb\xbfworkers: 2\n")
    assert load(Inputs(file)).config.workers == 2
