import pytest

from tests.kernels.planted import ROOT, Fault, found
from tests.split.planted import FAULTS


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_be_planted(fault: Fault) -> None:
    assert (ROOT / "native" / fault.file).read_text().count(fault.old) == 1


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_fuzz_finds_it(fault: Fault) -> None:
    assert found(fault)
