from collections.abc import Sequence

from sidecar.config.schema import BackendConfig
from sidecar.model import Endpoint, Secret
from sidecar.ports import Member, Membership
from sidecar.routing.members import StaticMembers

A = BackendConfig(address=Endpoint("a", 4317), headers={"api-key": Secret("hush")})
B = BackendConfig(address=Endpoint("b", 4317), name="second", weight=2)


def test_members_are_the_backends() -> None:
    membership: Membership = StaticMembers([A, B])
    assert membership.members() == (
        Member("a:4317", Endpoint("a", 4317), 1.0),
        Member("second", Endpoint("b", 4317), 2.0),
    )


def test_watchers_hear_of_changes_until_they_have_enough() -> None:
    members, heard, also = StaticMembers([A]), list[Sequence[Member]](), list[Sequence[Member]]()
    end = members.watch(heard.append)
    members.watch(also.append)
    members.replace([A])
    assert heard == []
    members.replace([A, B])
    end()
    end()
    members.replace([B])
    assert [len(now) for now in heard] == [2]
    assert [len(now) for now in also] == [2, 1]
    assert members.members() == also[-1]
