"""Photos decoded in a process of their own: the same pixels, and whatever happens there is one photo's error."""

import functools
import io
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from halfiqa_ray import machine
from halfiqa_ray.data.photos import guard
from halfiqa_ray.data.photos.decoding import KINDS, ImageError, Wanted, decode_at
from halfiqa_ray.data.photos.guard import ROOM_KEPT, Decoder, Decoders
from halfiqa_ray.data.photos.images import Bounds, read_photo
from tests.data.photo_files import jpeg

MEMORY = 256 << 20
ROOM = 10**8


@functools.cache
def png(height, width, mode="1"):
    """One colour: 100 million pixels of black or white are 12 kB, and 400 MB once Pillow has made them RGB."""
    stream = io.BytesIO()
    Image.new(mode, (width, height)).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


@pytest.fixture
def decoder():
    made = Decoder(60, MEMORY)
    yield made
    made.close()


def failure(decoder, data, wanted=Wanted(ROOM)):
    with pytest.raises(ImageError) as caught:
        decoder.decode(data, wanted)
    assert caught.value.kind in KINDS
    return caught.value


def works(decoder):
    data = jpeg(3)
    return np.array_equal(decoder.decode(data, Wanted(ROOM)).pixels[0], decode_at(data, Wanted(ROOM)).pixels[0])


def begins(decoder, data):
    """Start decoding in a thread; returns its failure, to be asked for, when the process is at work on it."""
    works(decoder)
    thread = ThreadPoolExecutor(1)
    failed = thread.submit(failure, decoder, data)
    used = time.monotonic()
    while cpu_ticks(decoder) < 5 and time.monotonic() < used + 60:  # it is at work, not waiting
        time.sleep(0.01)
    return failed


def cpu_ticks(decoder, before={}):  # noqa: B006
    ticks = int(Path(f"/proc/{decoder.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11])
    return ticks - before.setdefault(decoder.process.pid, ticks)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("sizes", [(None,), ((20, 30),), (None, (64, 48), (5, 7))])
def test_the_same_pixels_as_here(decoder, sizes, turned):
    for data in (jpeg(0, 48, 32), jpeg(1, 33, 77), png(7, 3, "RGBA")):
        wanted = Wanted(ROOM, sizes, turned)
        here, there = decode_at(data, wanted), decoder.decode(data, wanted)
        assert (there.height, there.width) == (here.height, here.width)
        for one, other in zip(here.pixels, there.pixels, strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_same_errors_as_here(decoder):
    data = jpeg()
    for bad, most in ((b"nothing", ROOM), (data[:300], ROOM), (data, 10)):
        with pytest.raises(ImageError) as here:
            decode_at(bad, Wanted(most))
        there = failure(decoder, bad, Wanted(most))
        assert (there.kind, str(there)) == (here.value.kind, str(here.value))


def test_a_photo_that_takes_too_much_memory(decoder):
    failed = failure(decoder, png(10_000, 9_000))
    assert failed.kind == "decoder_out_of_memory"
    assert "data.decode_bytes" in str(failed)
    assert works(decoder)


def test_a_photo_that_takes_too_long():
    decoder = Decoder(0.2, 4 << 30)
    failed = failure(decoder, png(10_000, 9_000))
    assert failed.kind == "decoder_too_slow"
    assert "0.2 s (data.decode_seconds)" in str(failed)
    decoder.seconds = 60
    assert works(decoder)
    decoder.close()


def test_a_photo_that_crashes_its_decoder():
    decoder = Decoder(60, 4 << 30)
    failed = begins(decoder, png(14_000, 7_000))
    os.kill(decoder.process.pid, signal.SIGSEGV)
    assert failed.result().kind == "decoder_died"
    assert "SIGSEGV" in str(failed.result())
    assert works(decoder)
    decoder.close()


def test_a_photo_whose_decoder_is_killed_is_tried_once_more(decoder, monkeypatch):
    """Now and then the system ends a decoder though others filled the memory."""
    ask, kills = guard._line, [1]

    def killed(process, seconds):
        if process is decoder.process and kills and seconds == decoder.seconds:
            kills.pop()
            process.kill()
            process.wait()
            return b""  # it may have answered before
        return ask(process, seconds)

    monkeypatch.setattr(guard, "_line", killed)
    assert works(decoder)
    assert not kills
    kills += [1, 1]
    failed = failure(decoder, jpeg(3))
    assert failed.kind == "decoder_died"
    assert "killed, perhaps as the machine ran out of memory" in str(failed)
    assert works(decoder)


def test_a_decoder_that_is_killed_as_it_starts_is_the_photos_error(decoder, monkeypatch):
    def killed(process, seconds):
        process.kill()
        process.wait()
        return b""

    monkeypatch.setattr(guard, "_line", killed)
    assert failure(decoder, jpeg(3)).kind == "decoder_died"
    monkeypatch.undo()
    assert works(decoder)


def test_a_decoder_that_hangs_ends_without_the_process_that_asks(monkeypatch):
    """One that hangs in C code cannot see that its input has ended."""
    code = (
        "import sys, time; from halfiqa_ray.data.photos import decoder; decoder.LATE = 0; "
        "decoder.answer = lambda *asked: time.sleep(100); sys.argv[1:] = sys.argv[1:5]; decoder.main()"
    )
    with tempfile.TemporaryFile() as shared:
        shared.truncate(100)
        command = [sys.executable, "-c", code, str(shared.fileno()), str(MEMORY), "1", "2"]
        hangs = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[shared.fileno()])
        hangs.stdin.write(b"{}\n")
        hangs.stdin.close()
        assert hangs.wait(60) == -signal.SIGALRM


def test_a_decoder_that_died_between_photos_is_nobodys_error(decoder):
    assert works(decoder)
    os.kill(decoder.process.pid, signal.SIGKILL)
    decoder.process.wait()
    assert works(decoder)


def test_shared_memory_grows_for_a_large_photo_and_shrinks_again():
    decoder = Decoder(60, 4 << 30)
    data = png(5_000, 5_000)
    pixels = decoder.decode(data, Wanted(ROOM)).pixels[0]
    assert pixels.nbytes > ROOM_KEPT
    assert len(decoder.memory) < ROOM_KEPT
    assert not pixels.any()
    assert works(decoder)
    large = data + bytes(ROOM_KEPT)  # a file larger than what is shared
    assert decoder.decode(large, Wanted(ROOM, ((2, 2),))).pixels[0].shape == (2, 2, 3)
    assert works(decoder)
    decoder.close()


def test_threads_get_their_own_photos():
    photos = [jpeg(seed, 40 + seed, 60) for seed in range(12)]
    decoders = Decoders(60, MEMORY)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda data: decoders.decode(data, Wanted(ROOM)).pixels[0], photos * 3))
    for pixels, data in zip(found, photos * 3, strict=True):
        np.testing.assert_array_equal(pixels, decode_at(data, Wanted(ROOM)).pixels[0])
    assert 1 <= len(decoders.free) <= min(4, machine.cores())
    decoders.close()


def test_read_photo_names_the_file(tmp_path):
    (tmp_path / "a.png").write_bytes(png(10_000, 9_000))
    with pytest.raises(ImageError, match=r"a\.png: decoding it takes more than 268,435,456 bytes"):
        read_photo(str(tmp_path / "a.png"), Bounds(ROOM, 60, MEMORY))


def test_the_decoder_is_light():
    code = (
        "import halfiqa_ray.data.photos.decoder, sys; "
        "print([m for m in ('torch', 'ray', 'pyarrow') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_decoders_end_with_the_process_that_asks():
    code = (
        "from halfiqa_ray.data.photos.guard import Decoder\n"
        "from halfiqa_ray.data.photos.decoding import Wanted\n"
        "from tests.data.photo_files import jpeg\n"
        "import time\n"
        f"decoder = Decoder(60, {MEMORY}); decoder.decode(jpeg(), Wanted(10**6))\n"
        "print(decoder.process.pid, flush=True)\n"
        "time.sleep(100)"
    )
    asking = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    decoder = int(asking.stdout.readline())
    asking.kill()
    asking.wait()
    gone = threading.Event()
    for _ in range(300):
        if not Path(f"/proc/{decoder}/stat").exists():
            return
        gone.wait(0.1)
    raise AssertionError("the decoder is still there")


LIMITED = """
import resource, sys
kind, soft, hard = getattr(resource, sys.argv[1]), *map(int, sys.argv[2:4])
if hard > 0:  # as a login shell that may not raise it again
    import ctypes
    ctypes.CDLL(None).prctl(24, 24, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_SYS_RESOURCE
resource.setrlimit(kind, (soft, hard))
from halfiqa_ray.data.photos.decoding import ImageError, Wanted
from halfiqa_ray.data.photos.guard import Decoder
from tests.data.photo_files import jpeg
from tests.data.photos.test_guard import png
decoder = Decoder(60, 4 << 30)
print(decoder.decode(jpeg(), Wanted(10**6)).height, decoder.most_bytes)
try:
    decoder.decode(png(12_000, 11_000), Wanted(2 * 10**8))
except ImageError as error:
    print(error)
print(resource.getrlimit(kind) == (soft, hard))
"""


def limited(kind, soft, hard):
    words = [sys.executable, "-c", LIMITED, kind, str(soft), str(hard)]
    return subprocess.run(words, capture_output=True, text=True, timeout=200)


@pytest.mark.parametrize("hard", [400 << 20, -1])
def test_a_lower_limit_of_the_shell_is_the_one_that_counts(hard):
    """As on login nodes (`ulimit -d`): photos decode, the message names it, the asking process keeps its own."""
    told = limited("RLIMIT_DATA", 400 << 20, hard)
    assert told.returncode == 0, told.stderr
    first, second, third = told.stdout.splitlines()
    assert first.endswith(f" {400 << 20}")
    assert "more than 419,430,400 bytes of memory (the limit of the shell, ulimit -d" in second
    assert third == "True"


def test_a_decoder_that_cannot_start_says_why(monkeypatch):
    """Its own last words, the shell's limits, and the setting that does without it."""
    monkeypatch.setitem(guard.ENVIRONMENT, "PYTHONHOME", "/nowhere")
    with pytest.raises(RuntimeError, match=r"does not start \(.*encodings.*ulimit.*decode_seconds") as raised:
        Decoder(60, MEMORY).decode(jpeg(), Wanted(ROOM))
    assert "\n" not in str(raised.value)


AS_ON_A_MAC = """
import os
for name in ("sched_getaffinity", "sched_setaffinity", "memfd_create"):
    if hasattr(os, name):
        delattr(os, name)
from halfiqa_ray import machine
from halfiqa_ray.data.photos.images import Bounds, read_photo
from halfiqa_ray.data.photos.cache import PhotoCache
import halfiqa_ray.training.train as train, sys
from halfiqa_ray.config import TrainSettings
photo = read_photo(sys.argv[1], Bounds(10**6, 60))
cache = PhotoCache([sys.argv[1]], 8, 8, Bounds(10**6, 60), 0)
print(photo.height, machine.cores(), train.torch_threads(TrainSettings()) >= 1)
"""


def test_without_what_only_linux_has(tmp_path):
    """macOS has neither the affinity of processes nor memory files."""
    (tmp_path / "a.jpg").write_bytes(jpeg(0, 48, 32))
    words = [sys.executable, "-c", AS_ON_A_MAC, str(tmp_path / "a.jpg")]
    told = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert told.returncode == 0, told.stderr
    assert told.stdout.split()[0] == "48"
    assert told.stdout.split()[2] == "True"
