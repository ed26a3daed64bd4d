"""The first signal is noted, the second one acts; afterwards all is as before."""

from __future__ import annotations

import signal

import pytest

from diar_ops.training.signals import catch_stop_signals, leave_signals_to_parent


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_the_second_one_acts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with catch_stop_signals() as request:
        assert not request.received
        signal.raise_signal(number)
        assert request.received
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


def test_workers_leave_ctrl_c_to_their_parent() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        leave_signals_to_parent(0)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
