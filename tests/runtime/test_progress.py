import pytest

from halfiqa_ray.runtime.progress import Progress, duration


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
