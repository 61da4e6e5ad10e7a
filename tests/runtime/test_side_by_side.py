import signal
import threading
import time

import pytest

from halfiqa_ray.runtime.side_by_side import side_by_side


@pytest.mark.parametrize("at_once", [1, 2, 9])
def test_so_many_run_at_once_and_results_keep_their_order(at_once):
    running, most, lock = 0, 0, threading.Lock()

    def work(number):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05 * (5 - number))
        with lock:
            running -= 1
        return number

    assert side_by_side([lambda n=n: work(n) for n in range(5)], at_once) == list(range(5))
    assert most == min(at_once, 5)


def test_the_others_end_before_an_error_is_raised():
    ended = []

    def fails():
        raise ValueError("first")

    def slow():
        time.sleep(0.2)
        ended.append(1)

    with pytest.raises(ValueError, match="first"):
        side_by_side([fails, slow, slow], 2)
    assert len(ended) == 2


def test_a_stop_waits_for_none(ctrl_c_stops):
    """The main thread is let go at once, and the threads do not hold up the end of the process."""
    release = threading.Event()
    threads = []

    def work():
        threads.append(threading.current_thread())
        if len(threads) == 2:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        release.wait(20)

    with pytest.raises(KeyboardInterrupt):
        side_by_side([work, work], 2)
    assert all(thread.is_alive() and thread.daemon for thread in threads)
    release.set()
