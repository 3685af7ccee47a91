"""The dispatcher against an in-memory queue and launcher."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest

from tests.support.fakes import WAIT_SECONDS, FakeLauncher, FakeQueue, ManualClock, make_claim
from workers.dispatcher import Dispatcher, DispatcherSettings
from workers.ports import Exit, QueueUnavailable

SETTINGS = DispatcherSettings(owner="d1")


def make_dispatcher(queue: FakeQueue, launcher: FakeLauncher, clock: ManualClock | None = None) -> Dispatcher:
    return Dispatcher(queue, launcher, SETTINGS, clock=clock or ManualClock())


def test_claims_no_more_than_the_free_slots() -> None:
    queue, launcher = FakeQueue([make_claim(n) for n in range(5)]), FakeLauncher(free=2)
    dispatcher = make_dispatcher(queue, launcher)
    dispatcher.tick()
    dispatcher.tick()
    assert launcher.submitted == [0, 1]
    launcher.ended = [Exit(attempt_id=0, error=None)]
    dispatcher.tick()
    dispatcher.tick()
    assert launcher.submitted == [0, 1, 2]
    assert [claim.attempt_id for claim in dispatcher.running] == [1, 2]


def test_tells_once_when_the_prepared_processes_are_ready() -> None:
    launcher, told = FakeLauncher(getting_ready=2), []
    dispatcher = Dispatcher(FakeQueue(), launcher, SETTINGS, on_ready=lambda: told.append("ready"))
    for getting_ready, expected in [(2, 0), (1, 0), (0, 1), (0, 1), (1, 1), (0, 1)]:
        launcher.getting_ready = getting_ready
        dispatcher.tick()
        assert len(told) == expected


def test_new_slots_are_used_and_lost_slots_respected() -> None:
    queue, launcher = FakeQueue([make_claim(n) for n in range(5)]), FakeLauncher(free=0)
    dispatcher = make_dispatcher(queue, launcher)
    dispatcher.tick()
    assert launcher.submitted == []
    launcher.free = 3
    dispatcher.tick()
    launcher.free = 1
    dispatcher.tick()
    assert launcher.submitted == [0, 1, 2]


def test_death_of_an_attempt_is_reported_and_a_clean_end_is_not() -> None:
    queue, launcher = FakeQueue([make_claim(1), make_claim(2)]), FakeLauncher()
    dispatcher = make_dispatcher(queue, launcher)
    dispatcher.tick()
    launcher.ended = [Exit(attempt_id=1, error="killed"), Exit(attempt_id=2, error=None)]
    dispatcher.tick()
    assert queue.losses == [(1, "killed")]


def test_leases_are_looked_at_every_few_seconds() -> None:
    clock, queue = ManualClock(), FakeQueue()
    dispatcher = make_dispatcher(queue, FakeLauncher(), clock)
    for second in range(11):
        clock.now = float(second)
        dispatcher.tick()
    assert queue.calls.count("expire_leases") == 3


def test_waits_for_an_end_only_when_nothing_was_submitted() -> None:
    queue, launcher = FakeQueue([make_claim(1)]), FakeLauncher()
    dispatcher = make_dispatcher(queue, launcher)
    assert dispatcher.tick(0.5)
    assert not dispatcher.tick(0.5)
    assert launcher.waits == [0.0, 0.5]


def test_nothing_waits_no_transaction_writes() -> None:
    queue = FakeQueue()
    make_dispatcher(queue, FakeLauncher()).tick()
    assert queue.calls == ["expire_leases", "backlog"]


def test_plans_for_all_slots_and_claims_for_the_free_ones_at_once() -> None:
    queue, launcher = FakeQueue([make_claim(1)], unplanned=[make_claim(2), make_claim(3)]), FakeLauncher()
    make_dispatcher(queue, launcher).tick()
    assert queue.calls[1:] == ["backlog", "plan 64 2 True"]
    assert launcher.submitted == [1, 2]


def test_asks_nothing_while_no_slot_is_free() -> None:
    queue, launcher = FakeQueue([make_claim(n) for n in range(3)]), FakeLauncher(free=2)
    dispatcher = make_dispatcher(queue, launcher)
    dispatcher.tick()
    queue.unplanned = [make_claim(3)]
    dispatcher.tick()
    assert queue.calls == ["expire_leases", "backlog"]
    launcher.ended = [Exit(attempt_id=0, error=None)]
    dispatcher.tick()
    dispatcher.tick()
    assert queue.calls[2:] == ["backlog", "plan 64 2 True"]
    assert launcher.submitted == [0, 1, 2]


@pytest.mark.parametrize(("claims", "wait"), [(1, 0.04), (2, 0.5)])
def test_looks_often_while_a_slot_is_free(claims: int, wait: float) -> None:
    """With one attempt in two slots an end is waited for until the next look, with two for longer."""
    stop = threading.Event()

    class StoppingLauncher(FakeLauncher):
        def poll(self, timeout: float) -> Sequence[Exit]:
            if len(self.waits) == 1:
                stop.set()
            return super().poll(timeout)

    launcher = StoppingLauncher()
    make_dispatcher(FakeQueue([make_claim(n) for n in range(claims)]), launcher).run(stop)
    assert launcher.waits == [0.0, wait]


def test_run_takes_over_and_leaves_nothing_behind() -> None:
    stop = threading.Event()

    class StoppingLauncher(FakeLauncher):
        def poll(self, timeout: float) -> Sequence[Exit]:
            stop.set()
            return super().poll(timeout)

    queue, launcher = FakeQueue([make_claim(1)]), StoppingLauncher()
    runner = threading.Thread(target=make_dispatcher(queue, launcher).run, args=(stop,))
    runner.start()
    runner.join(WAIT_SECONDS)
    assert not runner.is_alive()
    assert launcher.closed
    assert queue.calls[0] == queue.calls[-1] == "release_owner d1"
    assert [claim.attempt_id for claim in queue.waiting] == [1]


class TestHangingProcesses:
    """What holds a slot for an attempt that has ended is ended by force."""

    def test_a_lost_attempt_is_ended_at_the_next_look(self) -> None:
        clock, queue, launcher = ManualClock(), FakeQueue([make_claim(1), make_claim(2)]), FakeLauncher()
        dispatcher = make_dispatcher(queue, launcher, clock)
        dispatcher.tick()
        queue.ends = {1: True}
        clock.now = SETTINGS.expiry_seconds
        dispatcher.tick()
        assert launcher.killed == [1]

    def test_one_that_has_told_its_end_gets_a_lease_to_go(self) -> None:
        clock, queue, launcher = ManualClock(), FakeQueue([make_claim(1)]), FakeLauncher()
        dispatcher = make_dispatcher(queue, launcher, clock)
        dispatcher.tick()
        queue.ends = {1: False}
        for clock.now in (5.0, 15.0, 34.0):
            dispatcher.tick()
        assert launcher.killed == []
        clock.now = 40.0
        dispatcher.tick()
        assert launcher.killed == [1]

    def test_one_that_goes_in_time_is_left_alone(self) -> None:
        clock, queue, launcher = ManualClock(), FakeQueue([make_claim(1)]), FakeLauncher()
        dispatcher = make_dispatcher(queue, launcher, clock)
        dispatcher.tick()
        queue.ends = {1: False}
        clock.now = 5.0
        launcher.ended = [Exit(attempt_id=1, error=None)]
        dispatcher.tick()
        clock.now = 50.0
        dispatcher.tick()
        assert launcher.killed == []


class TestInfrastructureLosses:
    """What no trial is to blame for makes the dispatcher wait, longer each time."""

    @pytest.mark.parametrize("told_by", ["launcher", "queue"])
    def test_a_dead_node_takes_few_attempts(self, told_by: str) -> None:
        """It loses each attempt within 0.4 s. In 15 s it gets 4 attempts, after 0, 1, 3 and 7 s, where it
        got 37 without pauses."""
        clock = ManualClock()
        queue = FakeQueue([make_claim(1)], unbegun={1} if told_by == "queue" else set())
        launcher = FakeLauncher(free=1)
        dispatcher = make_dispatcher(queue, launcher, clock)
        death = Exit(attempt_id=1, error="NodeDiedError", infrastructure=told_by == "launcher")
        begins: list[float] = []
        while clock.now < 15:
            dispatcher.tick()
            if len(launcher.submitted) > len(begins):
                begins.append(clock.now)
                clock.now += 0.4
                launcher.ended = [death]
            else:
                clock.now += 0.05
        assert begins == pytest.approx([0, 1.4, 3.8, 8.2], abs=0.3)
        assert len(queue.losses) == 4

    def test_other_losses_and_good_ends_make_no_pause(self) -> None:
        queue, launcher = FakeQueue([make_claim(1)]), FakeLauncher(free=1)
        dispatcher = make_dispatcher(queue, launcher)
        dispatcher.tick()
        launcher.ended = [Exit(attempt_id=1, error="segmentation fault")]
        dispatcher.tick()
        dispatcher.tick()
        assert launcher.submitted == [1, 1]

    def test_attempts_that_run_are_collected_during_a_pause(self) -> None:
        queue, launcher = FakeQueue([make_claim(1), make_claim(2)]), FakeLauncher(free=2)
        dispatcher = make_dispatcher(queue, launcher)
        dispatcher.tick()
        launcher.ended = [Exit(attempt_id=1, error="NodeDiedError", infrastructure=True)]
        dispatcher.tick()
        launcher.ended = [Exit(attempt_id=2, error=None)]
        dispatcher.tick()
        assert dispatcher.running == ()


class TestQueueAway:
    """The dispatcher waits, keeps its attempts, and forgets nothing."""

    def test_a_death_is_told_when_the_queue_is_back(self) -> None:
        # The only slot is taken: the queue is first asked when the death is to be told.
        queue, launcher = FakeQueue([make_claim(1)]), FakeLauncher(free=1)
        dispatcher = make_dispatcher(queue, launcher)
        dispatcher.tick()
        queue.away = True
        launcher.ended = [Exit(attempt_id=1, error="killed")]
        for _ in range(2):
            with pytest.raises(QueueUnavailable):
                dispatcher.tick()
        queue.away = False
        dispatcher.tick()
        assert queue.losses == [(1, "killed")]

    def test_it_goes_on_and_gives_attempts_a_lease_to_report(self) -> None:
        """Tried again after rising pauses; no lease ends until one has passed since the queue is back."""
        clock, looks = ManualClock(), []

        class Watched(FakeQueue):
            def expire_leases(self) -> int:
                looks.append(clock.now)
                return 0

        queue, launcher = Watched(away=True), FakeLauncher()
        stop = Waits(clock, then={7: lambda: setattr(queue, "away", False)}, end=1000)
        make_dispatcher(queue, launcher, clock).run(stop)
        assert stop.pauses[:7] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
        assert set(stop.pauses[7:]) == {SETTINGS.look_seconds}
        back = sum(stop.pauses[:7])
        assert looks[0] == pytest.approx(back + SETTINGS.lease_seconds, abs=2 * SETTINGS.look_seconds)
        assert launcher.closed

    def test_ending_while_it_is_away_ends_the_attempts(self) -> None:
        queue, launcher = FakeQueue([make_claim(1)]), FakeLauncher()
        dispatcher = make_dispatcher(queue, launcher)
        dispatcher.tick()
        queue.away = True
        dispatcher.shut_down()
        assert launcher.closed
        assert dispatcher.running == ()


class Waits(threading.Event):
    """An event whose waits take no time: the clock moves, and things happen after so many waits."""

    def __init__(self, clock: ManualClock, *, then: dict[int, Callable[[], object]], end: int) -> None:
        super().__init__()
        self.pauses: list[float] = []
        self._clock, self._then, self._end = clock, then, end

    def wait(self, timeout: float | None = None) -> bool:
        self.pauses.append(timeout or 0.0)
        self._clock.now += timeout or 0.0
        self._then.get(len(self.pauses), lambda: None)()
        if len(self.pauses) >= self._end:
            self.set()
        return self.is_set()


def test_what_was_asked_to_stop_and_goes_on_is_ended_by_force() -> None:
    clock = ManualClock()
    queue, launcher = FakeQueue([make_claim(1), make_claim(2)], slow_to_stop={2}), FakeLauncher()
    dispatcher = make_dispatcher(queue, launcher, clock)
    dispatcher.tick()
    clock.now += SETTINGS.expiry_seconds
    dispatcher.tick()
    assert launcher.killed == [2]


def test_it_tidies_up_now_and_then() -> None:
    clock, queue = ManualClock(), FakeQueue()
    dispatcher = make_dispatcher(queue, FakeLauncher(), clock)
    for hours, times in [(0.9, 0), (0.2, 1), (0.5, 1), (0.6, 2)]:
        clock.now += hours * 3600
        dispatcher.tick()
        assert queue.calls.count("tidy") == times


def test_a_loss_with_the_machine_is_told_as_blameless() -> None:
    queue, launcher = FakeQueue([make_claim(1), make_claim(2)]), FakeLauncher()
    dispatcher = make_dispatcher(queue, launcher)
    dispatcher.tick()
    launcher.ended = [
        Exit(attempt_id=1, error="its node died", infrastructure=True),
        Exit(attempt_id=2, error="killed"),
    ]
    dispatcher.tick()
    assert queue.blameless == {1}


def test_nothing_begins_on_nodes_that_the_queue_says_to_avoid() -> None:
    queue, launcher, clock = FakeQueue([make_claim(0), make_claim(1)]), FakeLauncher(), ManualClock()
    queue.avoided = frozenset({"here"})
    dispatcher = make_dispatcher(queue, launcher, clock)
    dispatcher.tick()
    assert [node.name for node in queue.seen] == ["here"]
    assert launcher.submitted == []
    queue.avoided = frozenset()
    clock.sleep(SETTINGS.nodes_seconds)
    dispatcher.tick()
    assert launcher.submitted == [0, 1]


class Leaving(FakeLauncher):
    """Attempts end one after the other, each after a second of the clock."""

    def __init__(self, clock: ManualClock, stopping: list[int]) -> None:
        super().__init__()
        self._clock, self._stopping = clock, stopping

    def poll(self, timeout: float) -> Sequence[Exit]:
        if not timeout:
            return ()
        self._clock.now += 1
        return [Exit(attempt_id=self._stopping.pop(0), error=None)] if self._stopping else ()


@pytest.mark.parametrize(("stopping", "ends_at"), [([1, 2], 2.0), ([1], 5.0), ([], 5.0)])
def test_attempts_are_asked_to_stop_and_waited_for_a_while(stopping: list[int], ends_at: float) -> None:
    clock, queue = ManualClock(), FakeQueue([make_claim(1), make_claim(2)])
    launcher = Leaving(clock, stopping)
    settings = DispatcherSettings(owner="d1", stop_seconds=5)
    dispatcher = Dispatcher(queue, launcher, settings, clock=clock)
    dispatcher.tick()
    dispatcher.shut_down()
    assert clock.now == ends_at
    assert launcher.closed
    assert queue.calls[-2:] == ["ask_to_stop d1", "release_owner d1"]


def test_nobody_is_waited_for_while_the_queue_is_away() -> None:
    clock, queue = ManualClock(), FakeQueue([make_claim(1)])
    launcher = Leaving(clock, [])
    dispatcher = Dispatcher(queue, launcher, DispatcherSettings(owner="d1", stop_seconds=5), clock=clock)
    dispatcher.tick()
    queue.away = True
    dispatcher.shut_down()
    assert (clock.now, launcher.closed) == (0.0, True)
