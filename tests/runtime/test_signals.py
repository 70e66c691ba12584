"""Signals that ask to stop: heard once, handed on to what is around, ignored where they were ignored."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from sharpose.runtime.signals import STOP, StopOnSignal, Stopped, blocked_in_children, stop_where_asked


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", STOP)
def test_the_first_signal_is_noted_and_handlers_come_back(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in STOP]
    with StopOnSignal() as stop:
        assert stop.asked is None
        send(number)
        send(signal.SIGTERM)
        assert stop.asked is number and not stop.aborted
    assert [signal.getsignal(each) for each in STOP] == before


def test_at_once_it_is_raised_where_it_arrives_and_once_alone() -> None:
    with StopOnSignal(at_once=True) as stop:
        with pytest.raises(Stopped, match="SIGHUP"):
            send(signal.SIGHUP)
        send(signal.SIGTERM)
        assert stop.asked is signal.SIGHUP


@pytest.mark.parametrize("under_torchrun", [False, True])
def test_a_second_interrupt_aborts(monkeypatch: pytest.MonkeyPatch, under_torchrun: bool) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2" if under_torchrun else "1")
    with StopOnSignal() as stop:
        for _ in range(2 if under_torchrun else 1):
            send(signal.SIGINT)
        assert not stop.aborted
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        assert stop.aborted


def test_what_is_inside_hands_on_what_it_heard() -> None:
    with StopOnSignal(at_once=True) as outer:
        with StopOnSignal() as inner:
            send(signal.SIGTERM)
            assert inner.asked is signal.SIGTERM and outer.asked is None
        assert outer.asked is signal.SIGTERM
        with StopOnSignal() as later:
            assert later.asked is signal.SIGTERM


def test_one_that_was_lost_is_raised_again() -> None:
    with StopOnSignal(at_once=True):
        stop_where_asked()
        with pytest.raises(Stopped):
            send(signal.SIGTERM)
        with StopOnSignal():
            stop_where_asked()
        with pytest.raises(Stopped):
            stop_where_asked()
    stop_where_asked()


def test_what_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopOnSignal(at_once=True) as stop:
            send(signal.SIGHUP)
            assert stop.asked is None and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_nothing_changes() -> None:
    seen: list[object] = []

    def enter() -> None:
        with StopOnSignal(at_once=True):
            seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [before]


def test_children_do_not_hear_what_this_process_hears_after() -> None:
    program = "import signal; print(len(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    with StopOnSignal() as stop:
        with blocked_in_children():
            # another thread of this process may hear it already
            send(signal.SIGTERM)
            done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert stop.asked is signal.SIGTERM
    assert done.stdout == "3\n" and not signal.pthread_sigmask(signal.SIG_BLOCK, [])
