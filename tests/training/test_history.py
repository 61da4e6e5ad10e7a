import threading
from dataclasses import replace

from halfiqa_ray.models.fitting.training import EpochProgress, EpochReport
from halfiqa_ray.training.history import PublishedProgress, describe_progress, printed_history
from halfiqa_ray.training.run_folder import RunFolder

HALF = EpochProgress("main", 2, 3, images=50, of_images=100, images_per_second=10.0, epochs_left=1)
REPORT = EpochReport("main", 1, 3, 0.5, 1e-3, 0.8, 0.7, 0.1, True, 10.0, 12.0, 2, 0.0)


def test_the_time_left_is_that_of_all_epochs_to_come():
    assert describe_progress(HALF) == "main   2/3  50 of 100 images  10.0 images/s  at most 15 s left"


def test_progress_is_published_only_so_often(tmp_path):
    folder = RunFolder(str(tmp_path))
    tell = PublishedProgress(folder, seconds=3600)
    tell(HALF)
    assert folder.progress() is None
    tell.last -= 3601
    tell(HALF)
    tell(replace(HALF, images=60))
    assert folder.progress() == HALF


def test_what_is_published_is_printed_once(tmp_path, capsys):
    folder = RunFolder(str(tmp_path))
    folder.write_progress(replace(HALF, images=1))  # of a run before, which was stopped
    with printed_history(folder, "triq: "):
        folder.write_progress(HALF)
        threading.Event().wait(1.2)
        folder.write_history([REPORT])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"triq: {describe_progress(HALF)}"
    assert len(lines) == 2
    assert lines[1].startswith("triq: main   1/3  loss 0.5000")
