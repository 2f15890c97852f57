from trunkline_kit.clock import ManualClock, SystemClock


def test_a_manual_clock_moves_only_when_told():
    clock = ManualClock(now_s=100.0)
    assert (clock.now_s(), clock.monotonic_s()) == (100.0, 100.0)
    clock.advance(2.5)
    assert (clock.now_s(), clock.monotonic_s()) == (102.5, 102.5)


def test_the_system_clock_never_steps_back():
    clock = SystemClock()
    earlier = clock.monotonic_s()
    assert clock.monotonic_s() >= earlier
    assert clock.now_s() > 1_700_000_000
