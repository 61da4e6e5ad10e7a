"""Collections are put off while modules are imported, and at the end of a process; nothing else changes."""

import gc
import subprocess
import sys
from threading import Barrier, Thread

import pytest

from halfiqa_ray.collecting import no_collections


def test_collections_go_on_after_the_imports_also_after_an_error_and_in_threads():
    with no_collections():
        assert not gc.isenabled()
        with no_collections():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), no_collections():
        import no_such_module  # noqa: F401
    assert gc.isenabled()
    together = Barrier(2)

    def imports():
        with no_collections():
            together.wait()

    threads = [Thread(target=imports) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert gc.isenabled()


def test_who_had_switched_collections_off_finds_them_off():
    gc.disable()
    try:
        with no_collections():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_process_that_ends_quickly_does_what_is_due_at_its_exit_and_looks_through_nothing():
    code = (
        "import atexit, sys\n"
        "from halfiqa_ray.collecting import end_quickly\n"
        "end_quickly(); end_quickly()\n"
        "atexit.register(print, 'at exit')\n"
        "class Told:\n"
        "    def __del__(self): print('freed', self.name)\n"
        "one = Told()\n"
        "one.name, one.itself = 'in a cycle', one\n"
        "del one\n"
        "print('to the end', end='')\n"
        "sys.exit(3)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout == "to the endat exit\n"
