import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config.effective import effective
from sidecar.config.fleet import FleetConfig, FleetRouting, GlobalConfig, LocalBatch, LocalConfig, RetryPolicy
from sidecar.config.load import Inputs, load
from sidecar.config.overlay import settled
from sidecar.config.schema import GatewayConfig, RoutingConfig
from sidecar.errors import ConfigInvalid
from sidecar.model import Ownership, RoutingStrategy
from tests.config.fleets import globals_, locals_

OWN = load(
    Inputs(
        None,
        {"SPANGATE_SAMPLING_RATE": "0.5", "SPANGATE_BATCH_MAX_ITEMS": "7", "SPANGATE_DELIVERY_MAX_WAIT": "30s"},
        {"routing.strategy": "intelligent", "backends": ["a:1"]},
    )
)


def fleet(everywhere: GlobalConfig, local: LocalConfig | None = None) -> FleetConfig:
    return FleetConfig(everywhere, {} if local is None else {"eu": local})


def test_an_empty_fleet_changes_nothing() -> None:
    assert settled(OWN.config, FleetConfig(), "eu") == (OWN.config, {})


def test_the_store_is_before_flags_and_environment() -> None:
    told = GlobalConfig(
        sampling_rate=0.1, routing=FleetRouting(strategy=RoutingStrategy.ROUND_ROBIN, capacity_weight=0.2)
    )
    answer = settled(OWN.config, fleet(told), "eu", {"global": 12})
    routing = answer.config.routing
    assert (answer.config.sampling.rate, routing.strategy, routing.capacity_weight) == (0.1, "round_robin", 0.2)
    assert (routing.ownership, routing.load_weight) == (Ownership.NONE, 0.7)
    assert answer.store_paths == dict.fromkeys(
        ("sampling.rate", "routing.strategy", "routing.capacity_weight", "routing.ownership"), "global v12"
    )
    shown = {value.path: value for value in effective(answer.config, OWN.sources, answer.store_paths)}
    assert (shown["sampling.rate"].value, shown["sampling.rate"].source) == (0.1, "store")
    assert (shown["batch.max_items"].source, shown["routing.load_weight"].source) == ("environment", "default")


def test_a_region_has_its_own_rate_and_its_defaults() -> None:
    local = LocalConfig(regional_sampling_rate=0.9, batch_config=LocalBatch(max_items=3))
    both = fleet(GlobalConfig(sampling_rate=0.1), local)
    here = settled(OWN.config, both, "eu", {"global": 1, "regions/eu": 3})
    assert (here.config.sampling.rate, here.config.batch.max_items, here.config.batch.max_wait_s) == (0.9, 3, 0.1)
    assert (here.config.delivery.max_retries, here.config.delivery.backoff.initial_s) == (2, 0.1)
    assert here.config.limits.items == 10_000
    assert set(here.store_paths.values()) == {"regions/eu v3"}
    there = settled(OWN.config, both, "us")
    assert (there.config.sampling.rate, there.config.batch, there.config.limits.items) == (0.1, OWN.config.batch, 0)
    assert there.store_paths == {"sampling.rate": "global"}


def test_a_region_without_a_rate_has_that_of_all() -> None:
    answer = settled(OWN.config, fleet(GlobalConfig(sampling_rate=0.1), LocalConfig()), "eu")
    assert answer.config.sampling.rate == 0.1
    assert settled(OWN.config, fleet(GlobalConfig(), LocalConfig()), "eu").config.sampling.rate == 0.5


def test_attempts_are_one_more_than_retries() -> None:
    answer = settled(OWN.config, fleet(GlobalConfig(), LocalConfig(retry_policy=RetryPolicy(max_attempts=1))), "eu")
    assert answer.config.delivery.max_retries == 0


@pytest.mark.parametrize(
    ("own", "strategy", "ownership"),
    [
        (RoutingConfig(), RoutingStrategy.ROUND_ROBIN, Ownership.NONE),
        (RoutingConfig(strategy=RoutingStrategy.ROUND_ROBIN), RoutingStrategy.INTELLIGENT, Ownership.TRACE),
        (RoutingConfig(strategy=RoutingStrategy.ROUND_ROBIN), RoutingStrategy.CONSISTENT_HASH, Ownership.TRACE),
        (
            RoutingConfig(strategy=RoutingStrategy.INTELLIGENT, ownership=Ownership.NONE),
            RoutingStrategy.INTELLIGENT,
            Ownership.NONE,
        ),
        (
            RoutingConfig(strategy=RoutingStrategy.INTELLIGENT, ownership=Ownership.NONE),
            RoutingStrategy.CONSISTENT_HASH,
            Ownership.TRACE,
        ),
    ],
)
def test_ownership_follows_the_strategy(own: RoutingConfig, strategy: RoutingStrategy, ownership: Ownership) -> None:
    told = GlobalConfig(routing=FleetRouting(strategy=strategy))
    assert settled(GatewayConfig(routing=own), fleet(told), "eu").config.routing.ownership is ownership


def test_a_mixture_that_breaks_a_rule_is_refused_and_says_who_brought_it() -> None:
    told = fleet(GlobalConfig(), LocalConfig(batch_config=LocalBatch(max_wait_s=60)))
    with pytest.raises(ConfigInvalid, match=r"regions/eu v3: batch\.max_wait: is not shorter than delivery\.max_wait"):
        settled(OWN.config, told, "eu", {"regions/eu": 3})
    weightless = fleet(GlobalConfig(routing=FleetRouting(load_weight=0, latency_weight=0)))
    with pytest.raises(ConfigInvalid, match=r"global: routing\.load_weight: is 0"):
        settled(OWN.config, weightless, "eu")


@settings(max_examples=200)
@given(globals_(), st.one_of(st.none(), locals_()))
def test_only_what_the_store_says_differs_and_all_of_that_is_named(
    everywhere: GlobalConfig, local: LocalConfig | None
) -> None:
    told = fleet(everywhere, local)
    answer = settled(OWN.config, told, "eu", {"global": 1}, rules=())
    before = {value.path: value for value in effective(OWN.config, OWN.sources)}
    after = {value.path: value for value in effective(answer.config, OWN.sources, answer.store_paths)}
    assert before.keys() == after.keys() >= answer.store_paths.keys()
    for path, value in after.items():
        if path in answer.store_paths:
            assert (value.source, value.where) == ("store", answer.store_paths[path])
        else:
            assert value == before[path]
    again = settled(answer.config, told, "eu", {"global": 1}, rules=())
    assert again.config == answer.config, "what has been laid over once is not changed by doing it twice"
