"""From a gateway's configuration and the fleet's word to what a policy is made of."""

import msgspec
import pytest

from sidecar.config import overlay
from sidecar.config.fleet import FleetConfig, GlobalConfig, LocalConfig, RateLimitingConfig, RoutingRule
from sidecar.config.schema import GatewayConfig, RoutingConfig, SamplingConfig
from sidecar.control.guidance import Guidance
from sidecar.control.records import ConfigState, TargetRecord
from sidecar.control.region import view_of
from sidecar.control.settle import settle
from sidecar.errors import ConfigInvalid, Problem
from sidecar.model import Endpoint, MemberSource, OnLimit
from sidecar.ports import Member
from sidecar.routing.view import View
from sidecar.sampling.plan import ServiceRate, Shed
from tests.control.records import collector

CONFIGURED = View(7, (Member("local", Endpoint("local.example", 4317), 1.0),))
OWN = GatewayConfig(region="eu", sampling=SamplingConfig(rate=0.5), routing=RoutingConfig(members=MemberSource.STATIC))
REGISTERED = msgspec.structs.replace(OWN, routing=RoutingConfig(members=MemberSource.REGISTRY))


def guidance(everywhere: GlobalConfig | None = None, local: LocalConfig | None = None, **more: object) -> Guidance:
    config = FleetConfig(everywhere or GlobalConfig(), {"eu": local} if local else {})
    states = {"global": ConfigState(applied_version=12), "regions/eu": ConfigState(applied_version=3)}
    return msgspec.structs.replace(Guidance(config=config, states=states), **more)


def names(view: View) -> list[str]:
    return [member.name for member in view.members]


def test_the_fleets_word_wins_and_the_regions_over_that() -> None:
    assert settle(OWN, guidance(), CONFIGURED).plan.rate == 0.5
    everywhere = GlobalConfig(sampling_rate=0.25)
    assert settle(OWN, guidance(everywhere), CONFIGURED).plan.rate == 0.25
    both = settle(OWN, guidance(everywhere, LocalConfig(regional_sampling_rate=0.125)), CONFIGURED)
    assert both.plan.rate == 0.125
    assert both.said_by["sampling.rate"] == "regions/eu v3"
    assert "batch.max_items" in both.said_by, "a LocalConfig says something about everything it has"


def test_who_the_members_are() -> None:
    known = view_of("eu", [collector("a"), collector("b")], {"b": "refused"}, {}, None)
    assert known is not None
    told = guidance(views={"eu": known})
    static, registered = settle(OWN, told, CONFIGURED), settle(REGISTERED, told, CONFIGURED)
    assert (names(static.areas[0].view), static.areas[0].view.epoch) == (["local"], 7)
    assert names(registered.areas[0].view) == ["a", "b"]
    assert registered.areas[0].view.down == {"b"}
    assert names(settle(REGISTERED, guidance(), CONFIGURED).areas[0].view) == [], "nobody has registered yet"


def test_the_notice_is_the_one_that_the_view_announces() -> None:
    known = view_of("eu", [collector("a")], {}, {}, None, effective_in_s=5.0)
    assert known is not None
    told = guidance(views={"eu": known})
    registered, static = settle(REGISTERED, told, CONFIGURED), settle(OWN, told, CONFIGURED)
    assert registered.config.routing.effective_in_s == 5.0
    assert registered.said_by["routing.effective_in"] == "the view of eu"
    assert static.config.routing.effective_in_s == 0.0
    assert "routing.effective_in" not in static.said_by


def test_rules_add_the_regions_that_they_name() -> None:
    rules = tuple(RoutingRule(service=f"{name}-*", target_region=name) for name in ("us", "asia", "eu", "us"))
    us = view_of("us", [collector("u", region="us")], {}, {}, None)
    assert us is not None
    made = settle(OWN, guidance(GlobalConfig(routing_rules=rules), views={"us": us}), CONFIGURED)
    assert [(area.region, names(area.view)) for area in made.areas] == [("eu", ["local"]), ("asia", []), ("us", ["u"])]
    assert made.rules == rules


def test_the_target_the_shed_and_the_share() -> None:
    limits = RateLimitingConfig(max_qps=1000, burst_size=100, on_limit=OnLimit.REFUSE)
    target = TargetRecord(token=1, services={"shop": ServiceRate(0.01)})
    everywhere = GlobalConfig(rate_limiting=msgspec.structs.replace(limits, on_limit=OnLimit.SAMPLE))
    made = settle(OWN, guidance(everywhere, target=target), CONFIGURED, shed=Shed(low=0.5), share=0.25)
    assert made.plan.of_service("shop").rate == 0.01
    assert made.plan.of_service("other").rate == 0.5
    assert (made.plan.shed.low, made.plan.limit.per_s) == (0.5, 250)
    refusing = settle(OWN, guidance(GlobalConfig(rate_limiting=limits)), CONFIGURED, share=0.25)
    assert refusing.plan.limit.on_limit is OnLimit.REFUSE


def test_what_does_not_go_together_is_refused_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(_rules: object, _config: object) -> list[Problem]:
        return [Problem("sampling.rate", "does not do")]

    monkeypatch.setattr(overlay, "broken", wrong)
    with pytest.raises(ConfigInvalid, match=r"global v12: sampling\.rate: does not do"):
        settle(OWN, guidance(GlobalConfig(sampling_rate=0.25)), CONFIGURED)
