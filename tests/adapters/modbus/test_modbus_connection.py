"""One connection: what the client library leaves unchecked, and what a sick device costs."""

import asyncio
import time

import pytest
from modbus_cases import connected, frame, here, open_files, registers, scripted

from ebplan.adapters.health import BackOff
from ebplan.adapters.modbus.connection import Connection, Denied, Lost, Stranger, Words
from ebplan.adapters.modbus.line import Line
from ebplan.twin.wire.fault_proxy import Fault, FaultProxy
from ebplan.twin.wire.sunspec_plant import SunSpecPlant


async def test_a_read_returns_registers_and_a_write_its_words() -> None:
    async with SunSpecPlant() as plant, connected(plant.port) as line:
        assert await line.read(40000, 2) == Words((0x5375, 0x6E53))
        where = plant.memory.at(704, "WSetRvrtTms")
        line.writable = (range(where, where + 2),)
        assert await line.write(where, [0, 7]) == Words((0, 7))
        assert await line.read(where, 2) == Words((0, 7))


async def test_an_exception_is_an_answer() -> None:
    async with SunSpecPlant() as plant, connected(plant.port) as line:
        assert await line.read(1, 2) == Denied(2, "it has no such register")
        assert line.connected
    async with SunSpecPlant() as plant, connected(plant.port, unit=9) as line:
        answer = await line.read(40000, 2)  # nobody has that number
        assert isinstance(answer, Denied)
        assert answer.code == 4


async def test_a_short_answer_is_none() -> None:
    async with scripted(lambda r: registers(r, 100)) as port, connected(port) as line:
        answer = await line.read(0, 2)
        assert isinstance(answer, Lost)
        assert answer.why == "1 registers came for 2 that were asked"
        assert not line.connected


async def test_an_answer_to_another_function_is_none() -> None:
    async with (
        scripted(lambda r: registers(r, 1, 2, function=4)) as port,
        connected(port) as line,
    ):
        assert await line.read(0, 2) == Lost("an answer to something else")


async def test_an_answer_without_its_number_is_none() -> None:
    def unnumbered(request: bytes) -> bytes:
        return frame(request, b"\x03\x02\0\x07", number=0)

    async with scripted(unnumbered) as port, connected(port) as line:
        assert await line.read(0, 1) == Lost("an answer without its number")


async def test_an_answer_of_another_unit_is_none() -> None:
    def other_unit(request: bytes) -> bytes:
        return registers(request[:6] + b"\x09" + request[7:], 7)

    async with scripted(other_unit) as port, connected(port) as line:
        assert isinstance(await line.read(0, 1), Lost)


async def test_a_device_that_drops_an_idle_connection_is_met_again_at_once() -> None:
    async with (
        SunSpecPlant() as plant,
        FaultProxy(("127.0.0.1", plant.port)) as bad,
        connected(bad.port) as line,
    ):
        for times in range(1, 4):
            assert isinstance(await line.read(40000, 2), Words)
            assert line.opened == times
            bad.drop()
            await asyncio.sleep(0.02)
            assert not line.connected
        assert line.health.failures == 0


@pytest.mark.parametrize("host", ["a..b", "no-such-name.invalid"])
async def test_a_name_that_is_none_is_unreachable(host: str) -> None:
    line = Connection(here(1, host=host))
    assert isinstance(await line.read(0, 1), Lost)
    await line.close()


async def test_an_answer_with_another_number_is_waited_past() -> None:
    def late_and_right(request: bytes) -> bytes:
        wrong = (int.from_bytes(request[:2], "big") + 1) % 65536
        return frame(request, b"\x03\x02\0\x09", number=wrong) + registers(request, 7)

    async with scripted(late_and_right) as port, connected(port) as line:
        assert await line.read(0, 1) == Words((7,))


async def test_an_acknowledgement_of_another_write_is_none() -> None:
    async with (
        scripted(lambda r: frame(r, b"\x10\0\x09\0\x01")) as port,
        connected(port) as line,
    ):
        answer = await line.write(3, [1])
        assert answer == Lost("it acknowledged another write", executed=True)


async def test_a_write_without_an_answer_is_never_sent_again() -> None:
    arrived: list[bytes] = []

    def silent(request: bytes) -> None:
        arrived.append(request)

    async with scripted(silent) as port, connected(port) as line:
        answer = await line.write(3, [1])
        assert isinstance(answer, Lost)
        assert answer.executed
        await asyncio.sleep(0.25)
        assert len(arrived) == 1


async def test_a_write_that_was_never_sent_says_so() -> None:
    async with FaultProxy(("127.0.0.1", 1)) as gone:
        await gone.turn(Fault.REFUSE)
        async with connected(gone.port) as line:
            answer = await line.write(3, [1])
            assert isinstance(answer, Lost)
            assert not answer.executed


@pytest.mark.parametrize("address", [99, 100, 40000])
async def test_what_is_not_allowed_never_reaches_the_wire(address: int) -> None:
    async with SunSpecPlant() as plant, connected(plant.port) as line:
        answer = await line.write(address, [1, 2])
        assert isinstance(answer, Denied)
        assert not plant.writes
        assert line.opened == 0


async def test_a_closed_connection_ends_the_wait_at_once() -> None:
    async with (
        SunSpecPlant() as plant,
        FaultProxy(("127.0.0.1", plant.port)) as bad,
        connected(bad.port, timeout_s=5.0) as line,
    ):
        assert isinstance(await line.read(40000, 2), Words)
        await bad.turn(Fault.SILENT)
        began = time.monotonic()
        asking = asyncio.create_task(line.read(40000, 2))
        await asyncio.sleep(0.05)
        bad.drop()
        assert await asking == Lost("it closed the connection")
        assert time.monotonic() - began < 1.0


async def test_a_silent_connection_is_given_up_after_so_many_requests() -> None:
    async with (
        SunSpecPlant() as plant,
        FaultProxy(("127.0.0.1", plant.port)) as bad,
        connected(bad.port, timeout_s=0.05, silent_requests=3) as line,
    ):
        assert isinstance(await line.read(40000, 2), Words)
        await bad.turn(Fault.HALF_OPEN)
        for i in range(3):
            assert line.connected, i
            assert isinstance(await line.read(40000, 2), Lost)
        assert not line.connected


async def test_a_first_connection_that_fails_is_tried_again() -> None:
    async with SunSpecPlant() as plant, FaultProxy(("127.0.0.1", plant.port)) as bad:
        await bad.turn(Fault.REFUSE)
        line = Connection(here(bad.port), policy=BackOff(first_s=0.05))
        assert isinstance(await line.read(40000, 2), Lost)
        await bad.turn(Fault.NONE)
        answer = await line.read(40000, 2)
        assert isinstance(answer, Lost)
        assert "tried again in" in answer.why
        await asyncio.sleep(0.06)
        assert isinstance(await line.read(40000, 2), Words)
        await line.close()


async def test_a_device_that_accepts_and_closes_is_not_hammered() -> None:
    async with FaultProxy(("127.0.0.1", 1)) as bad:
        await bad.turn(Fault.FLAPPING)
        line = Connection(here(bad.port), policy=BackOff(first_s=0.1))
        until = time.monotonic() + 1.5
        asked = 0
        while time.monotonic() < until:
            assert isinstance(await line.read(0, 1), Lost)
            asked += 1
            await asyncio.sleep(0.005)
        await line.close()
        assert asked > 50
        assert bad.accepted <= 5  # at 0, 0.1, 0.3, 0.7 and 1.5 s


async def test_noise_is_no_answer_and_nothing_is_raised() -> None:
    async with SunSpecPlant() as plant, FaultProxy(("127.0.0.1", plant.port)) as bad:
        line = Connection(here(bad.port), policy=BackOff(first_s=0.01))
        await bad.turn(Fault.GARBAGE)
        assert isinstance(await line.read(40000, 2), Lost)
        await bad.turn(Fault.NONE)
        await asyncio.sleep(0.3)
        assert isinstance(await line.read(40000, 2), Words | Lost)
        await asyncio.sleep(0.1)
        assert isinstance(await line.read(40000, 2), Words)
        await line.close()


async def test_an_unknown_function_in_an_answer_costs_the_connection_only() -> None:
    async with (
        scripted(lambda r: frame(r, b"\x63\x01\x02\x03")) as port,
        connected(port) as line,
    ):
        assert isinstance(await line.read(0, 1), Lost)
        assert not line.connected


async def test_a_request_given_up_leaves_no_answer_for_the_next() -> None:
    async def late_first(request: bytes) -> bytes:
        address = int.from_bytes(request[8:10], "big")
        await asyncio.sleep(0.1 if address == 1 else 0.0)
        return registers(request, address)

    async with scripted(late_first) as port, connected(port, timeout_s=1.0) as line:
        asking = asyncio.create_task(line.read(1, 1))
        await asyncio.sleep(0.03)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await line.read(2, 1) == Words((2,))


async def test_a_slow_poll_delays_no_set_point() -> None:
    async def slow_reads(request: bytes) -> bytes:
        if request[7] == 3:
            await asyncio.sleep(0.4)
            return registers(request, 1)
        return frame(request, request[7:12])

    async with scripted(slow_reads) as port:
        line = Line(here(port, timeout_s=1.0))
        line.set_points.writable = (range(0, 9),)
        poll = asyncio.create_task(line.polls.read(0, 1))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        assert await line.set_points.write(3, [5]) == Words((5,))
        assert time.monotonic() - began < 0.2
        assert not poll.done()
        assert await poll == Words((1,))
        await line.close()


async def test_requests_on_one_connection_follow_one_another() -> None:
    async with SunSpecPlant() as plant, connected(plant.port) as line:
        answers = await asyncio.gather(*(line.read(40000 + i, 1) for i in range(40)))
        assert answers == [Words((word,)) for word in plant.memory.words[:40]]
        assert line.opened == 1


async def test_nothing_is_asked_of_a_stranger() -> None:
    async with SunSpecPlant() as plant, connected(plant.port) as line:

        async def greeting(connection: Connection) -> Stranger:
            return Stranger("another one")

        line.greeting = greeting
        assert await line.write(3, [1]) == Stranger("another one")
        assert await line.write(3, [1]) == Stranger("another one")
        assert not plant.writes
        assert line.opened == 1


async def test_faults_leave_no_task_socket_or_file_behind() -> None:
    async with SunSpecPlant() as plant, FaultProxy(("127.0.0.1", plant.port)) as bad:
        line = Connection(
            here(bad.port, timeout_s=0.02, silent_requests=1), policy=BackOff(first_s=1e-6)
        )

        async def suffer() -> None:
            for fault in (Fault.REFUSE, Fault.FLAPPING, Fault.HALF_OPEN, Fault.GARBAGE):
                await bad.turn(fault)
                for _ in range(5):
                    await line.read(40000, 2)
            await bad.turn(Fault.NONE)
            bad.drop()
            line.policy = BackOff(first_s=1e-6, longest_s=1e-6)
            await line.close()
            await asyncio.sleep(0.02)

        await suffer()
        tasks, files = len(asyncio.all_tasks()), open_files()
        for _ in range(5):
            await suffer()
        assert len(asyncio.all_tasks()) <= tasks
        assert open_files() <= files
        await line.close()
