"""GPUs through the real Python binding: caps, clocks, readings, and the ways in which they fail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from math import nan
from pathlib import Path

import pytest

from ebplan.adapters import Applied, AppliedInPart, GpuPower, Refused, Unreachable, Unverified
from ebplan.adapters.gpu.nvml import NvmlGpus
from ebplan.twin.wire.nvml_stub import StubGpus

pytestmark = pytest.mark.real


@pytest.fixture
async def gpus(stub: StubGpus, tmp_path: Path) -> AsyncIterator[NvmlGpus]:
    device = NvmlGpus("node", baseline_file=tmp_path / "baseline.json", timeout_s=0.3)
    yield device
    await device.close()


async def test_readings(stub: StubGpus, gpus: NvmlGpus) -> None:
    assert isinstance(gpus, GpuPower)
    stub.hold_lower_w(3, 500.0)
    reading = await gpus.read()
    assert not isinstance(reading, Unreachable)
    assert set(reading) == set(range(8))
    one = reading[0]
    assert one.power_kw == pytest.approx(0.65, abs=0.01)
    assert one.instantaneous
    assert (one.cap_w, one.enforced_w) == (700.0, 700.0)
    assert (one.cap_range.low, one.cap_range.high) == (200.0, 700.0)
    assert one.clock_range is not None
    assert one.clock_range.high == 1980.0
    assert (reading[3].cap_w, reading[3].enforced_w) == (700.0, 500.0)


async def test_the_energy_counter_counts_kwh(stub: StubGpus, gpus: NvmlGpus) -> None:
    first = (await gpus.read())[0]  # type: ignore[index]
    time.sleep(0.2)
    second = (await gpus.read())[0]  # type: ignore[index]
    assert (second.energy_kwh - first.energy_kwh) * 3600.0 == pytest.approx(0.65 * 0.2, rel=0.3)


async def test_a_mean_over_a_second_is_named_as_such(stub: StubGpus, gpus: NvmlGpus) -> None:
    stub.fail(0, "instant", 3)
    reading = await gpus.read()
    assert not reading[0].instantaneous  # type: ignore[index]
    assert reading[1].instantaneous  # type: ignore[index]


async def test_a_cap_is_confirmed_by_measured_power(stub: StubGpus, gpus: NvmlGpus) -> None:
    answer = (await gpus.cap({0: 400.0}, confirm_s=1.0))[0]
    assert isinstance(answer, Applied), answer
    assert answer.measured_kw is not None
    assert answer.measured_kw <= 0.412
    assert stub.limits_w() == [400.0] + [700.0] * 7


async def test_a_gpu_that_does_not_follow_its_cap_is_unverified(
    stub: StubGpus, gpus: NvmlGpus
) -> None:
    stub.respond_in_s(0, 60.0)
    answer = (await gpus.cap({0: 400.0}, confirm_s=0.1))[0]
    assert isinstance(answer, Unverified), answer
    assert answer.measured_kw == pytest.approx(0.65, abs=0.02)


async def test_a_cap_that_is_acknowledged_and_ignored_is_unverified(
    stub: StubGpus, gpus: NvmlGpus
) -> None:
    stub.ignore_writes(0)
    answer = (await gpus.cap({0: 400.0}))[0]
    assert isinstance(answer, Unverified), answer
    assert answer.read_back == 700.0


async def test_somebody_else_may_hold_a_lower_limit(stub: StubGpus, gpus: NvmlGpus) -> None:
    stub.hold_lower_w(0, 350.0)
    answer = (await gpus.cap({0: 400.0}))[0]
    assert isinstance(answer, AppliedInPart), answer
    assert answer.confirmed == 350.0
    assert "somebody else" in answer.why


async def test_the_second_version_of_the_call_swallows_what_the_first_one_says(
    stub: StubGpus, gpus: NvmlGpus
) -> None:
    """Why the first one is used: this is the binding's defect, seen through the same library."""
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    stub.permit(0, False)
    with pytest.raises(pynvml.NVMLError):
        pynvml.nvmlDeviceSetPowerManagementLimit(handle, 400_000)
    said = pynvml.nvmlDeviceSetPowerManagementLimit_v2(handle, pynvml.NVML_POWER_SCOPE_GPU, 400_000)
    assert not said
    assert stub.limit_w(0) == 700.0
    answer = (await gpus.cap({0: 400.0}))[0]
    assert isinstance(answer, Refused), answer
    assert "ebplan-capd" in answer.why


async def test_caps_outside_what_is_allowed_are_clamped(stub: StubGpus) -> None:
    device = NvmlGpus("node", allowed_w=(300.0, 900.0))
    answers = await device.cap({0: 100.0, 1: 5000.0, 2: nan, 99: 300.0})
    assert isinstance(answers[0], AppliedInPart)
    assert answers[0].confirmed == 300.0
    assert isinstance(answers[1], AppliedInPart)
    assert answers[1].confirmed == 700.0
    assert isinstance(answers[2], Refused)
    assert isinstance(answers[99], Refused)
    assert stub.limits_w()[:3] == [300.0, 700.0, 700.0]
    await device.close()


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (2, Refused, "outside"),
        (3, Refused, "does not support"),
        (4, Refused, "permission"),
        (13, Refused, "too old"),
        (15, Unreachable, "fallen off the bus"),
        (999, Unreachable, "999"),
    ],
)
async def test_every_error_code_has_an_answer(
    code: int, kind: type, words: str, stub: StubGpus, gpus: NvmlGpus
) -> None:
    stub.fail(0, "set_limit", code)
    answers = await gpus.cap({0: 400.0, 1: 400.0})
    assert isinstance(answers[0], kind), answers[0]
    assert words in str(answers[0])
    assert isinstance(answers[1], Applied)
    if isinstance(answers[0], Unreachable):
        assert answers[0].executed == (code == 999)


async def test_no_driver_and_a_driver_that_comes_back(stub: StubGpus, gpus: NvmlGpus) -> None:
    stub.fail_init(9)
    reading = await gpus.read()
    assert isinstance(reading, Unreachable)
    assert "driver" in reading.why
    answer = (await gpus.cap({0: 400.0}))[0]
    assert isinstance(answer, Unreachable)
    assert not answer.executed
    stub.fail_init(0)
    assert isinstance((await gpus.cap({0: 400.0}))[0], Applied)


async def test_a_gpu_that_hangs_delays_no_other(stub: StubGpus, gpus: NvmlGpus) -> None:
    await gpus.read()
    stub.delay(0, "set_limit", 5.0)
    began_s = time.perf_counter()
    answers = await gpus.cap(dict.fromkeys(range(8), 400.0))
    took_s = time.perf_counter() - began_s
    assert took_s < 1.0
    hung = answers[0]
    assert isinstance(hung, Unreachable)
    assert hung.executed
    assert all(isinstance(answers[i], Applied) for i in range(1, 8))
    # it is not asked again while it hangs, and no thread is started for it
    again = (await gpus.cap({0: 500.0}))[0]
    assert isinstance(again, Unreachable)
    assert not again.executed
    assert stub.calls(0, "set_limit") == 1
    stub.delay(0, "set_limit", 0.0)
    time.sleep(0.1)
    assert isinstance((await gpus.cap({0: 500.0}))[0], Applied)


async def test_however_many_ask_first_all_are_answered(stub: StubGpus, gpus: NvmlGpus) -> None:
    first, second, caps = await asyncio.gather(gpus.read(), gpus.read(), gpus.cap({0: 400.0}))
    assert not isinstance(first, Unreachable)
    assert not isinstance(second, Unreachable)
    assert isinstance(caps[0], Applied)


async def test_gpus_of_a_node_are_told_at_once(stub: StubGpus, gpus: NvmlGpus) -> None:
    await gpus.read()
    stub.delay_all(0.02)
    # three calls each: set, read back what is requested and what is enforced
    began_s = time.perf_counter()
    await gpus.cap(dict.fromkeys(range(8), 400.0))
    assert time.perf_counter() - began_s < 8 * 3 * 0.02


async def test_an_index_moves_and_the_identity_does_not(stub: StubGpus, gpus: NvmlGpus) -> None:
    await gpus.read()
    stub.reorder([1, 2, 3, 4, 5, 6, 7])  # GPU 0 is gone, the others move up
    answers = await gpus.cap({1: 400.0})
    assert isinstance(answers[1], Applied)
    assert stub.limit_w(1) == 400.0
    assert stub.limit_w(2) == 700.0
    assert isinstance((await gpus.cap({0: 400.0}))[0], Applied | Unreachable)


async def test_a_gpu_with_another_identity_is_not_commanded(stub: StubGpus) -> None:
    device = NvmlGpus("node", uuids=(stub.uuid_of(0), "GPU-somebody-else"))
    answers = await device.cap({0: 400.0, 1: 400.0})
    assert isinstance(answers[0], Applied)
    assert isinstance(answers[1], Refused)
    assert stub.limits_w() == [400.0] + [700.0] * 7
    await device.close()


async def test_clocks_are_locked_and_unlocked(stub: StubGpus, gpus: NvmlGpus) -> None:
    answer = (await gpus.lock_clock({0: 1200.0}))[0]
    assert isinstance(answer, Applied), answer
    assert stub.locked_mhz(0) == 1200.0
    assert (await gpus.read())[0].clock_mhz == 1200.0  # type: ignore[index]
    clamped = (await gpus.lock_clock({1: 9000.0}))[1]
    assert isinstance(clamped, AppliedInPart)
    assert clamped.confirmed == 1980.0
    assert isinstance((await gpus.lock_clock({0: None}))[0], Applied)
    assert stub.locked_mhz(0) is None
    stub.ignore_writes(2)
    assert isinstance((await gpus.lock_clock({2: 1200.0}))[2], Unverified)


async def test_what_was_requested_before_is_restored_not_the_default(
    stub: StubGpus, gpus: NvmlGpus
) -> None:
    stub.request_w(0, 650.0)
    await gpus.cap({0: 400.0})
    await gpus.lock_clock({0: 1200.0})
    assert isinstance(await gpus.release(), Applied)
    assert stub.limit_w(0) == 650.0
    assert stub.locked_mhz(0) is None


async def test_who_starts_after_a_death_restores_what_was_before(
    stub: StubGpus, tmp_path: Path
) -> None:
    stub.request_w(0, 650.0)
    file = tmp_path / "left.json"
    died = NvmlGpus("node", baseline_file=file)
    await died.cap({0: 400.0, 1: 300.0})
    await died.close()  # as a kill does: nothing is restored
    after = NvmlGpus("node", baseline_file=file)
    assert (await after.baseline_w())[0] == 650.0
    assert isinstance(await after.release(), Applied)
    assert stub.limits_w() == [650.0] + [700.0] * 7
    assert not file.exists()
    await after.close()


async def test_a_release_that_fails_keeps_the_baseline(stub: StubGpus, tmp_path: Path) -> None:
    file = tmp_path / "left.json"
    device = NvmlGpus("node", baseline_file=file)
    await device.cap({0: 400.0})
    stub.fail(0, "set_limit", 15)
    assert isinstance(await device.release(), Unverified)
    assert file.exists()
    await device.close()


async def test_a_clock_that_a_run_before_locked_is_unlocked(stub: StubGpus, tmp_path: Path) -> None:
    died = NvmlGpus("node", baseline_file=tmp_path / "left.json")
    await died.lock_clock({0: 1200.0})
    await died.close()
    after = NvmlGpus("node", baseline_file=tmp_path / "left.json")
    assert isinstance(await after.release(), Applied)
    assert stub.locked_mhz(0) is None
    await after.close()


async def test_the_limit_of_a_lost_gpu_is_remembered(stub: StubGpus, tmp_path: Path) -> None:
    file = tmp_path / "left.json"
    died = NvmlGpus("node", baseline_file=file)
    await died.cap({0: 400.0})
    await died.close()
    stub.reorder([1, 2, 3, 4, 5, 6, 7])
    after = NvmlGpus("node", baseline_file=file)
    assert isinstance(await after.release(), Applied)
    assert file.exists()
    await after.close()


async def test_the_library_keeps_no_lease(stub: StubGpus, gpus: NvmlGpus) -> None:
    answer = await gpus.renew(3.0)
    assert isinstance(answer, Refused)
    assert "ebplan-capd" in answer.why


async def test_a_real_gpu_can_be_read() -> None:
    """Read only: nothing is ever set on a real device."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        pytest.skip("no GPU with a driver is here")
    device = NvmlGpus("real")
    reading = await device.read()
    await device.close()
    assert not isinstance(reading, Unreachable)
    for gpu in reading.values():
        assert 0.0 < gpu.power_kw < 2.0
        assert gpu.cap_range.low <= gpu.enforced_w <= gpu.cap_range.high
