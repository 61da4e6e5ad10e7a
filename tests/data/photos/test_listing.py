import os
import socket
from pathlib import Path

import pyarrow as pa
import pytest

from halfiqa_ray import storage
from halfiqa_ray.data.photos.listing import PhotoIndex, find_photos, safe_name
from halfiqa_ray.data.problems import DataError, RowError
from tests.data.photo_files import jpeg, write_photos


def kind(call, *arguments):
    with pytest.raises(RowError) as caught:
        call(*arguments)
    return caught.value.kind


def test_lists_photos_by_extension_below_every_folder(tmp_path):
    write_photos(tmp_path, "b.JPG", "a/c.png", "_DSC1.jpeg", "a/b/d.webp")
    write_photos(tmp_path, ".hidden.jpg", "a/._c.png", ".thumbnails/x.jpg")  # macOS and desktops leave these behind
    (tmp_path / "notes.txt").write_text("no photo")
    (tmp_path / "movie.mov").touch()
    index = find_photos(str(tmp_path))
    assert list(index.photos) == ["_DSC1.jpeg", "a/b/d.webp", "a/c.png", "b.JPG"]
    assert index.photos["b.JPG"].bytes == (tmp_path / "b.JPG").stat().st_size
    assert index.photos["b.JPG"].modified == (tmp_path / "b.JPG").stat().st_mtime_ns
    assert index.other == {".txt": 1, ".mov": 1}


def test_a_root_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"data\.root.*nowhere.*no such folder"):
        find_photos(str(tmp_path / "nowhere"))


def test_links_leave_the_root_or_stay_inside(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    write_photos(root, "real/a.jpg")
    write_photos(outside, "b.jpg", "deep/c.jpg")
    (root / "out.jpg").symlink_to(outside / "b.jpg")
    (root / "folder").symlink_to(outside / "deep")
    (root / "inside.jpg").symlink_to(root / "real" / "a.jpg")
    (root / "again").symlink_to(root / "real")
    (root / "real" / "circle").symlink_to(root)
    (root / "gone.jpg").symlink_to(root / "nothing.jpg")
    (root / "notes").symlink_to(outside / "notes.txt")
    index = find_photos(str(root))
    assert sorted(index.photos) == ["again/a.jpg", "inside.jpg", "real/a.jpg"]
    assert index.leaving == {"out.jpg", "folder"}
    assert index.dangling == {"gone.jpg"}
    assert kind(index.find, "", "out.jpg") == "leaves_root"
    assert kind(index.find, "", "out.png") == "leaves_root"
    assert kind(index.find, "folder", "c.jpg") == "leaves_root"
    assert kind(index.find, "", "gone.jpg") == "missing_photo"
    with pytest.raises(RowError, match=r"link to nothing.*git annex get"):
        index.find("", "gone.jpg")


def test_what_is_no_file_is_told_from_photos_and_opened_never(tmp_path):
    write_photos(tmp_path, "a.jpg", "folder.jpg/b.jpg", ".c.jpg", "real/d.jpg", "closed/e.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(tmp_path / "socket.png"))  # such a name may have 108 bytes
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    (tmp_path / "to_self").symlink_to(tmp_path / "to_self")
    (tmp_path / "real" / "up").symlink_to(tmp_path)
    index = find_photos(str(tmp_path))
    assert sorted(index.photos) == ["a.jpg", "closed/e.jpg", "folder.jpg/b.jpg", "real/d.jpg"]
    assert index.special == {"pipe.jpg", "socket.png"}
    assert index.dangling == {"self.jpg"}
    assert index.other == {"": 2}
    assert (index.hidden, index.circles) == (1, 1)


def test_a_folder_that_may_not_be_listed_costs_its_own_photos_only(tmp_path, monkeypatch):
    write_photos(tmp_path, "a.jpg", "closed/b.jpg")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # whoever runs this may be root
    index = find_photos(str(tmp_path))
    assert list(index.photos) == ["a.jpg"]
    assert index.unreadable == {"closed"}


def test_the_root_itself_may_be_a_link(tmp_path):
    write_photos(tmp_path / "real", "a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert list(find_photos(str(tmp_path / "link")).photos) == ["a.jpg"]


def test_names_that_are_not_utf8(tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).write_bytes(jpeg())
    write_photos(tmp_path, "café.jpg")
    index = find_photos(str(tmp_path))
    assert list(index.photos) == ["café.jpg"]
    assert index.misnamed == {"caf\\xe9.jpg"}


@pytest.mark.parametrize(
    "name", ["../a.jpg", "x/../../a.jpg", "/etc/a.jpg", "~/a.jpg", "C:\\a.jpg", "..\\a.jpg", "s3://b/a.jpg", "a/.."]
)
def test_names_that_leave_the_root(name):
    assert kind(safe_name, name) == "leaves_root"


@pytest.mark.parametrize(
    ("name", "path"), [(" a.jpg ", "a.jpg"), ("./a.jpg", "a.jpg"), ("x\\a.jpg", "x/a.jpg"), ("x//a.jpg", "x/a.jpg")]
)
def test_names_are_made_plain(name, path):
    assert safe_name(name) == path


@pytest.mark.parametrize("name", ["", "  ", "a\0.jpg"])
def test_names_of_nothing(name):
    assert kind(safe_name, name) == "missing_photo"


def test_find_by_name_then_by_stem(tmp_path):
    index = find_photos(str(write_photos(tmp_path, "a.jpg", "b.jpg", "b.png", "x.y.jpg", "sub/c.jpg")))
    assert index.find("", "a.jpg") == "a.jpg"
    assert index.find("", "a.png") == "a.jpg"
    assert index.find("", "b.png") == "b.png"  # exact names win
    assert index.find("", "x.y.png") == "x.y.jpg"
    assert index.find("sub", "c.bmp") == "sub/c.jpg"
    assert kind(index.find, "", "b.bmp") == "ambiguous_name"
    assert kind(index.find, "", "c.jpg") == "missing_photo"
    assert kind(index.find, "", "x.jpg") == "missing_photo"


def test_one_folder_serves_the_whole_list(tmp_path):
    write_photos(tmp_path, "1024x768/a.jpg", "512x384/a.jpg", "512x384/b.jpg")
    index = find_photos(str(tmp_path))
    names, folders = ["a.jpg", "b.jpg"], ["1024x768", "512x384", ""]
    assert index.choose_folder(folders, names) == ("512x384", ["1024x768", "512x384"])
    assert index.choose_folder(folders, ["a.jpg"])[0] == "1024x768"
    assert PhotoIndex("r", {}).choose_folder(folders, names) == ("1024x768", [])


SYSTEM = ("@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found", ".Trash-1000", ".Trashes", "__MACOSX", "found.000")


def test_folders_that_systems_make_are_left_out_and_counted_by_name(tmp_path):
    write_photos(tmp_path, "a.jpg", "b/c.jpg", "recycle/d.jpg", "my lost+found/e.jpg", "@eaDir.jpg")
    write_photos(tmp_path, *(f"{place}{name}/x/y.jpg" for name in SYSTEM for place in ("", "b/")))
    index = find_photos(str(tmp_path))
    assert set(index.photos) == {"a.jpg", "b/c.jpg", "recycle/d.jpg", "my lost+found/e.jpg", "@eaDir.jpg"}
    assert index.system == dict.fromkeys(SYSTEM, 2)
    assert index.hidden == 0
    assert any(
        "16 folders that systems make are left out: #recycle 2, $RECYCLE.BIN 2" in note for note in index.left_out()
    )
    assert find_photos(str(tmp_path / "@eaDir")).photos  # whoever names it means it


OUTPUT = ("manifest/dataset=a/manifest.parquet", "figures/halves/x.jpg", "report/y.png", "rank/dataset=a/z.jpg")


@pytest.mark.parametrize("place", ["", "results/", "deep/in/it/"])
def test_what_a_job_wrote_is_never_read_as_photos(tmp_path, place):
    write_photos(tmp_path, "a.jpg", "figures of mine/b.jpg", "other/figures/c.jpg")
    before = list(find_photos(str(tmp_path)).photos)
    write_photos(tmp_path, *(place + name for name in OUTPUT))
    index = find_photos(str(tmp_path))
    assert list(index.photos) == before == ["a.jpg", "figures of mine/b.jpg", "other/figures/c.jpg"]
    assert index.written == {"manifest": 1, "figures": 1, "report": 1, "rank": 1}


def test_an_object_store_leaves_out_the_same(bucket):
    for name in (*OUTPUT, *(f"out/{name}" for name in OUTPUT), "a.jpg", "b/figures/c.jpg", "b/@eaDir/x/y.jpg"):
        storage.write_bytes(f"{bucket}/set/{name}", jpeg())
    index = find_photos(f"{bucket}/set")
    assert list(index.photos) == ["a.jpg", "b/figures/c.jpg"]
    assert index.system == {"@eaDir": 1}
    assert index.written == {"manifest": 2, "figures": 2, "report": 2, "rank": 2}


def write_linked(tmp_path, *names):
    """Photos as DVC stores them: elsewhere, without extension, and a link in their place."""
    write_photos(tmp_path / "cache", *(f"files/{number}/0a1b" for number in range(len(names))))
    for number, name in enumerate(names):
        path = tmp_path / "repo" / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(tmp_path / "cache" / "files" / str(number) / "0a1b")
    return tmp_path / "repo" / "photos"


def test_where_all_photos_are_links_out_of_the_root_one_sentence_says_so(tmp_path):
    root = write_linked(tmp_path, "a.jpg", "b/c.jpg")
    with pytest.raises(DataError, match=r"all 2 photos of data\.root = .* DVC, git-annex") as caught:
        find_photos(str(root))
    advised = str(caught.value).split("set data.root to ")[1].split(",")[0]
    assert advised == str(tmp_path)
    assert list(find_photos(advised).photos) == ["repo/photos/a.jpg", "repo/photos/b/c.jpg"]  # advice that works


def test_advice_for_one_link_out_of_the_root_works_too(tmp_path):
    root = write_linked(tmp_path, "a.jpg")
    write_photos(root, "b.jpg")
    index = find_photos(str(root))
    assert list(index.photos) == ["b.jpg"]
    assert str(tmp_path) in index.advice
    with pytest.raises(RowError, match="set data.root to " + str(tmp_path)):
        index.find("", "a.jpg")


@pytest.mark.parametrize("seconds", [-1, -(2**31), 0, 9_246_182_400, 2**33])
def test_dates_of_any_year(tmp_path, seconds):
    path = write_photos(tmp_path, "a.jpg") / "a.jpg"
    os.utime(path, (seconds, seconds))
    [photo] = find_photos(str(tmp_path)).photos.values()
    assert pa.array([photo.modified], pa.int64())[0].as_py() == photo.modified
    assert (photo.modified - path.stat().st_mtime_ns) % 2**64 == 0


def test_object_store_keys_mean_themselves(bucket):
    names = ["set/plain.jpg", "set/with space #1.jpg", "set/50%.jpg", "set/wh?t=1.jpg", "set/ümlaut/a+b.jpg"]
    for seed, name in enumerate(names):
        storage.write_bytes(f"{bucket}/{name}", jpeg(seed))
    storage.write_bytes(f"{bucket}/set/.hidden.jpg", jpeg())
    storage.write_bytes(f"{bucket}/settings/other.jpg", jpeg())  # a longer name is another folder
    index = find_photos(f"{bucket}/set")
    assert sorted(f"set/{path}" for path in index.photos) == sorted(names)
    for seed, name in enumerate(names):
        path = name.removeprefix("set/")
        assert storage.read_bytes(index.uri(path)) == jpeg(seed)
        assert index.photos[path].bytes == len(jpeg(seed))
        assert index.photos[path].modified > 0


def test_a_bucket_that_is_not_there(bucket):
    with pytest.raises(DataError, match=r"data\.root"):
        find_photos(bucket.replace("test-", "no-such-bucket-"))


def test_keys_that_are_no_paths_are_problems_and_never_silent(bucket):
    """Amazon takes any text for a key: two slashes, dots, a slash at the end of a photo's name."""
    import boto3

    from halfiqa_ray.config import DataSettings
    from halfiqa_ray.data.lists.folder import read

    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    good = ["a.jpg", " g .jpg", "sub/b.jpg", "ü.jpg"]
    odd = ["/b.jpg", "./c.jpg", "../d.jpg", "sub//f.jpg", "sub/./g.jpg", "sub/../h.jpg"]
    for key in [*good, *odd, "h.jpg/", "sub/", "empty/"]:
        client.put_object(Bucket=bucket[5:], Key=f"photos/{key}", Body=b"" if key.endswith("/") else b"x")
    listing = read(DataSettings(root=f"{bucket}/photos"))
    assert sorted(row.image_id for row in listing.rows) == sorted(good)
    assert sorted(problem.image_id for problem in listing.problems) == sorted([*odd, "h.jpg"])
    assert {problem.kind for problem in listing.problems} == {"bad_name"}
    assert f"{bucket}/photos//b.jpg: " in "".join(map(str, listing.problems))
