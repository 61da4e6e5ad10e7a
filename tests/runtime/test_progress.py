import io
import sys

import pytest

from halfiqa_ray.runtime.progress import Bar, Progress, duration, make_progress


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_rate_and_time_left_leave_out_the_start_up(clock):
    lines = []
    progress = Progress(1000, "photos scored", 10, clock, lines.append)
    clock.now += 30  # workers start
    progress.advance(100)
    clock.now += 5
    progress.advance(50)
    assert lines == ["photos scored: 100 of 1,000 (10%)"]
    clock.now += 5
    progress.advance(50, failed=2)  # 100 photos in the 10 s since the first came
    assert lines[1:] == ["photos scored: 200 of 1,000 (20%), 10/s, 1 min 20 s left, 2 failed"]
    clock.now += 2
    progress.close()
    assert lines[2:] == ["photos scored: 200 of 1,000 in 42 s, 2 failed"]


def test_at_most_a_line_every_so_many_seconds(clock):
    lines = []
    progress = Progress(10_000, "x", 10, clock, lines.append)
    for _ in range(1000):
        clock.now += 0.1
        progress.advance(1)
    assert 8 <= len(lines) <= 10


def test_nothing_to_do(clock):
    lines = []
    progress = Progress(0, "x", 10, clock, lines.append)
    clock.now += 20
    progress.advance(0)
    progress.close()
    assert lines == ["x: 0 of 0", "x: 0 of 0 in 20 s"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7620, "2 h 7 min")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_and_a_log_gets_lines(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(make_progress(3, "photos", 10), Bar)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert type(make_progress(3, "photos", 10)) is Progress


def test_the_bar_says_rate_and_time_left_and_ends_as_a_line(capsys):
    terminal = Terminal()
    bar = Bar(200, "photos scored", terminal)
    bar.advance(50)
    bar.advance(50, failed=2)
    bar.bar.refresh()
    drawn = terminal.getvalue().split("\r")[-1]
    assert "photos scored:  50%" in drawn
    assert "100/200" in drawn
    assert "/s" in drawn
    assert "2 failed" in drawn
    bar.close()
    assert capsys.readouterr().out == "photos scored: 100 of 200 in 0 s, 2 failed\n"


def test_nothing_to_do_has_a_bar_too(capsys):
    bar = Bar(0, "x", Terminal())
    bar.advance(0)
    bar.say("said")
    bar.close()
    assert capsys.readouterr().out == "said\nx: 0 of 0 in 0 s\n"
