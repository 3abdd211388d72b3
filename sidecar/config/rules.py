"""Rules over whole configurations: a check, and the settings it reads.

A rule is silent while one of the settings that it reads has a problem of its own: a default stands in for what cannot
be read, and nobody is blamed for a default. Rules that need to know routing or sampling are written there, and handed
in beside those of this package.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from sidecar.errors import Problem

C = TypeVar("C")

_INDEX = re.compile(r"\[\d+\]")


class Rule(NamedTuple, Generic[C]):
    """A check, and the settings it reads: `backends[].weight` stands for those of all backends."""

    reads: tuple[str, ...]
    check: Callable[[C], Iterator[Problem]]

    def broken(self, config: C, known: Iterable[str] = (), shortened: Iterable[str] = ()) -> Iterator[Problem]:
        """Problems that the check finds.

        None when a path of `known` problems lies under what it reads, or when it reads from a list that is
        `shortened`: one of its sections could not be made, and the indices of the others are off.
        """
        bad, short = _without_indices(known), _without_indices(shortened)
        if self._sees(bad, short):
            yield from self.check(config)

    def _sees(self, bad: set[str], short: set[str]) -> bool:
        return not any(_under(path, read) for path in bad for read in self.reads) and not any(
            _under(read, path) for path in short for read in self.reads
        )


def rule(*reads: str) -> Callable[[Callable[[C], Iterator[Problem]]], Rule[C]]:
    """Make a rule of a check that reads these settings."""
    return lambda check: Rule(reads, check)


def broken(
    rules: Iterable[Rule[C]], config: C, known: Iterable[Problem] = (), shortened: Iterable[str] = ()
) -> list[Problem]:
    """What the rules find, beside the problems that are `known` already; each is silent about what another blamed."""
    paths, found = [problem.path for problem in known], []
    shortened = list(shortened)
    for each in rules:
        blameless = not (paths or shortened)  # most of the time, on every push
        new = [*each.check(config)] if blameless else [*each.broken(config, paths, shortened)]
        paths += [problem.path for problem in new]
        found += new
    return found


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """As they stand in the files."""
    return sorted(problems, key=lambda problem: (problem.source, problem.line or 0))


def _without_indices(paths: Iterable[str]) -> set[str]:
    return {_INDEX.sub("[]", path) for path in paths} if paths else set()


def _under(path: str, above: str) -> bool:
    return path == above or path.startswith((f"{above}.", f"{above}["))
