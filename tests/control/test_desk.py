import asyncio
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.control.archive import KEPT
from sidecar.control.census import Followers, Refusal
from sidecar.control.desk import TEXT_LIMIT_BYTES, Applied, Desk
from sidecar.control.records import Blob, ConfigState
from sidecar.control.refusal import ConfigDamaged, Conflict, NotThere
from sidecar.coord.memory import MemoryStore
from sidecar.coord.store import VALUE_LIMIT_BYTES, KeyValue
from sidecar.errors import ConfigInvalid, Exit, QuestionInvalid
from tests.control.fleet_store import GLOBAL, KEYS, LOCAL, NOW_UNIX_S, announce, desk, desks, rate

EU = "regions/eu"


async def apply(one: Desk, text: str, scope: str = "global", expected: int | None = None) -> Applied:
    return await one.apply(scope, text, author="ann", expected_version=expected)


async def in_force(one: Desk, scope: str = "global") -> Blob:
    held = await one.get(scope)
    assert held
    return held.blob


async def test_nothing_is_in_force_at_first() -> None:
    async with desk() as (one, _):
        assert await one.get("global") is None
        assert await one.history("global") == []


async def test_what_is_applied_is_in_force() -> None:
    async with desk() as (one, store):
        applied = await one.apply("global", GLOBAL, author="ann", comment="first")
        entry = await store.get(KEYS.global_config)
        assert entry
        assert applied == Applied(1, entry.modified)
        blob = msgspec.json.decode(entry.value, type=Blob)
        assert (blob.version, blob.body, blob.author, blob.comment) == (1, GLOBAL, "ann", "first")
        assert blob.applied_unix_s == NOW_UNIX_S
        assert await one.get("global") == (await one.version("global", 1))


async def test_scopes_count_for_themselves() -> None:
    async with desk() as (one, _):
        assert [(await apply(one, rate(i / 10))).version for i in range(3)] == [1, 2, 3]
        assert (await apply(one, LOCAL, EU)).version == 1


async def test_the_same_text_is_no_new_version() -> None:
    async with desk() as (one, _):
        first = await apply(one, GLOBAL)
        again = await apply(one, GLOBAL)
        assert again == Applied(first.version, first.revision, changed=False)
        assert len(await one.history("global")) == 1


async def test_advice_comes_with_the_answer() -> None:
    text = "global:\n  sampling_rate: 0.5\n  sampling_strategies: [{type: fixed, rate: 0.1}]\n"
    async with desk() as (one, _):
        assert (await apply(one, text)).warnings == (await one.validate("global", text)).warnings != ()


@pytest.mark.parametrize(
    ("scope", "text", "path"),
    [
        ("global", "global: {sampling_rate: 2}", "global.sampling_rate"),
        ("global", LOCAL, "local"),
        ("global", "x: [", ""),
        ("global", "local: {regional_sampling_rate: 0.1}\nglobal: {sampling_rate: 0.1}", "local"),
        (EU, GLOBAL, "global"),
        ("global", f"global:\n  sampling_rate: 0.1 # {'x' * VALUE_LIMIT_BYTES}", ""),
        ("global", f"global:\n  sampling_rate: 0.1 # {chr(0x20AC) * (VALUE_LIMIT_BYTES // 2)}", ""),
    ],
)
async def test_a_text_that_cannot_be_used_changes_nothing(scope: str, text: str, path: str) -> None:
    async with desk() as (one, _):
        with pytest.raises(ConfigInvalid) as refused:
            await apply(one, text, scope)
        assert refused.value.problems[0].path == path
        assert (await one.validate(scope, text)).problems[0].path == path
        assert await one.get(scope) is None


async def test_author_and_comment_have_bounds() -> None:
    async with desk() as (one, _):
        with pytest.raises(QuestionInvalid, match="the author has 300"):
            await one.apply("global", GLOBAL, author="a" * 300)
        with pytest.raises(QuestionInvalid, match="the comment has 2000"):
            await one.apply("global", GLOBAL, author="ann", comment="c" * 2000)
        room = TEXT_LIMIT_BYTES - len(GLOBAL) - 10
        await one.apply("global", f"{GLOBAL}# {'x' * room}", author="\x01" * 256, comment="\x01" * 1024)


async def test_an_expected_version_is_held_against_the_one_in_force() -> None:
    async with desk() as (one, _):
        with pytest.raises(Conflict, match="global has no configuration, not version 3"):
            await apply(one, GLOBAL, expected=3)
        await apply(one, rate(0.1), expected=0)
        await apply(one, rate(0.2), expected=1)
        with pytest.raises(Conflict):
            await apply(one, rate(0.3), expected=0)
        with pytest.raises(Conflict) as refused:
            await apply(one, rate(0.3), expected=1)
        assert refused.value.message == (
            "global is at version 2, not at version 1: ann applied it at 2023-11-14 22:13:20 UTC"
        )
        assert refused.value.exit_code is Exit.REFUSED
        assert (await in_force(one)).body == rate(0.2)


async def test_of_many_who_apply_over_one_version_one_wins() -> None:
    store = MemoryStore()
    async with desks(store, *(f"gw-{i}" for i in range(4))) as several:
        calls = [apply(one, rate(i / 20), expected=0) for i, one in enumerate(several * 3)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(result, Applied) for result in results) == 1
        assert sum(isinstance(result, Conflict) for result in results) == len(results) - 1
        assert len(await several[0].history("global")) == 1


async def test_who_writes_past_the_lock_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with desk() as (one, store):
        await apply(one, rate(0.1))
        other = msgspec.json.encode(Blob(version=9, sha256="", body=rate(0.9), author="bob"))
        write = store.compare_and_set

        async def late(key: str, *arguments: Any, **named: Any) -> KeyValue | None:
            if key == KEYS.global_config:
                await store.put(key, other)
            return await write(key, *arguments, **named)

        monkeypatch.setattr(store, "compare_and_set", late)
        with pytest.raises(Conflict, match="at version 9, not at version 1: bob applied it"):
            await apply(one, rate(0.2))
        assert (await in_force(one)).author == "bob"


async def test_its_own_version_does_not_go_back_but_by_rollback() -> None:
    async with desk() as (one, _):
        await apply(one, rate(0.1, version=5))
        await apply(one, rate(0.2, version=6))
        with pytest.raises(ConfigInvalid) as refused:
            await apply(one, rate(0.3, version=4))
        assert refused.value.problems[0].path == "global.version"
        back = await one.rollback("global", 1, author="bob")
        assert back.version == 3
        blob = await in_force(one)
        assert (blob.body, blob.author, blob.comment) == (rate(0.1, version=5), "bob", "back to version 1")


async def test_rollback_to_what_is_not_kept() -> None:
    async with desk() as (one, _):
        await apply(one, GLOBAL)
        with pytest.raises(NotThere, match="global has no version 7"):
            await one.rollback("global", 7, author="ann")
        assert (await one.rollback("global", 1, author="ann")).changed is False


async def test_history_is_the_latest_first_and_pruned() -> None:
    async with desk() as (one, store):
        for number in range(KEPT + 5):
            await apply(one, rate(number / 1000))
        versions = [blob.version for blob in await one.history("global")]
        assert versions == list(range(KEPT + 5, 5, -1))
        assert len((await store.list(KEYS.history("global"))).entries) == KEPT - 1


async def test_what_is_damaged_is_told_and_can_be_replaced() -> None:
    async with desk() as (one, store):
        await apply(one, rate(0.1))
        await apply(one, rate(0.2))
        await store.put(KEYS.global_config, b"garbage")
        with pytest.raises(ConfigDamaged):
            await one.get("global")
        assert (await apply(one, rate(0.3))).version == 2, "counts on from what the history knows"


async def test_a_diff_is_by_lines() -> None:
    async with desk() as (one, _):
        assert await one.diff("global", GLOBAL) == (
            "--- global, none yet\n+++ new\n@@ -0,0 +1,2 @@\n+global:\n+  sampling_rate: 0.1\n"
        )
        await apply(one, GLOBAL)
        assert await one.diff("global", GLOBAL) == ""
        assert (await one.diff("global", rate(0.5), "new.yaml")).splitlines() == [
            "--- global version 1",
            "+++ new.yaml",
            "@@ -1,2 +1,2 @@",
            " global:",
            "-  sampling_rate: 0.1",
            "+  sampling_rate: 0.5",
        ]


async def test_watching_sees_what_is_in_force_and_what_follows() -> None:
    async with desk() as (one, _):
        await apply(one, rate(0.1))
        await apply(one, LOCAL, EU)
        async with aclosing(one.watch("global")) as found:
            assert (await anext(found)).blob.version == 1
            for version in (2, 3):
                applied = await apply(one, rate(version / 10))
                held = await anext(found)
                assert (held.blob.version, held.revision) == (version, applied.revision)


def state(applied: int, refused: int = 0, *why: str) -> dict[str, ConfigState]:
    return {"global": ConfigState(applied_version=applied, refused_version=refused, refused=why)}


async def test_followers_are_counted_until_all_have_said_something() -> None:
    async with desk() as (one, store):
        await announce(store, "a", "eu", state(2))
        await announce(store, "b", "us", state(1))
        await announce(store, "c", "eu")
        async with aclosing(one.followers("global", 2, 20)) as looks:
            assert await anext(looks) == Followers(applied=1, total=3, waiting=("b", "c"))
            await announce(store, "b", "us", state(1, 2, "too odd"))
            refusal = Refusal("b", "us", ("too odd",))
            assert await anext(looks) == Followers(applied=1, total=3, refusals=(refusal,), waiting=("c",))
            await announce(store, "c", "eu", state(3))
            assert await anext(looks) == Followers(applied=2, total=3, refusals=(refusal,))
            assert await anext(looks, None) is None


async def test_followers_of_a_region_are_those_in_it() -> None:
    async with desk() as (one, store):
        await announce(store, "a", "eu", {EU: ConfigState(applied_version=1)})
        await announce(store, "b", "us")
        async with aclosing(one.followers(EU, 1, 20)) as looks:
            assert [look async for look in looks] == [Followers(applied=1, total=1)]


async def test_one_look_does_not_wait() -> None:
    async with desk() as (one, store):
        await announce(store, "a", "eu")
        async with aclosing(one.followers("global", 1, 0)) as looks:
            assert [look async for look in looks] == [Followers(applied=0, total=1, waiting=("a",))]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["apply", "expect", "rollback"]), st.integers(0, 5)), max_size=12))
async def test_versions_count_up_and_history_has_them_all(steps: list[tuple[str, int]]) -> None:
    """Against a list of texts: what a version says never changes, and the last one is in force."""
    async with desk() as (one, _):
        texts: list[str] = []
        for step, number in steps:
            try:
                if step == "rollback":
                    applied = await one.rollback("global", number, author="ann")
                    wanted = texts[number - 1]
                else:
                    expected = number if step == "expect" else None
                    applied = await apply(one, wanted := rate(number / 10), expected=expected)
            except NotThere:
                assert not 1 <= number <= len(texts)
                continue
            except Conflict:
                assert number != len(texts)
                continue
            assert applied.changed is (not texts or wanted != texts[-1])
            if applied.changed:
                texts.append(wanted)
            assert applied.version == len(texts)
        assert [blob.body for blob in await one.history("global")] == texts[::-1]


async def test_what_is_in_force_of_a_lost_store_does_not_count() -> None:
    """A store that was wiped counts from 1 again: who is at a version of before has not taken the new one."""
    lost = ConfigState(applied_version=1, applied_sha256="f" * 64)
    later = ConfigState(applied_version=7, applied_sha256="e" * 64, refused_version=9, refused_sha256="d" * 64)
    async with desk() as (one, store):
        applied = await apply(one, GLOBAL)
        await announce(store, "gw-1", "eu", {"global": lost})
        await announce(store, "gw-2", "eu", {"global": later})
        async with aclosing(one.followers("global", applied.version, 20)) as looks:
            assert await anext(looks) == Followers(applied=0, total=2, waiting=("gw-1", "gw-2"))
            here = ConfigState(applied_version=1, applied_sha256=(await in_force(one)).sha256)
            await announce(store, "gw-1", "eu", {"global": here})
            assert await anext(looks) == Followers(applied=1, total=2, waiting=("gw-2",))
            newer = await apply(one, rate(0.3))
            await announce(
                store,
                "gw-2",
                "eu",
                {"global": ConfigState(applied_version=newer.version, applied_sha256=(await in_force(one)).sha256)},
            )
            assert (await anext(looks)).complete
