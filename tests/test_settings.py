"""A setting is what is written, or is refused in one line that says where, which, what was read and what to do."""

import math
import string

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from halfiqa_ray.config import Settings, checked_name, checked_uri, parse
from halfiqa_ray.config.names import MOST
from halfiqa_ray.models.checkpoints import checkpoint_uri

GUESSED = ("0042", "007", "no", "off", "yes", "true", "1e3", "2024-06-01", "12:30"[:2], "1_000", "0x1F", "0b1", "1.0")


@pytest.fixture
def read(tmp_path):
    """A function that parses a file's bytes or text, and flags after it."""

    def parsed(content, *flags):
        file = tmp_path / "a.yaml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return parse("job.py", "", ["data"], ["--config", str(file), *flags])

    return parsed


@pytest.fixture
def refused(read, capsys, tmp_path):
    """A function that gives the one line with which a file or flags are refused."""

    def told(content, *flags):
        with pytest.raises(SystemExit) as ended:
            read(content, *flags)
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1, said
        assert said.startswith("job.py: ")
        assert "pydantic" not in said
        assert "<class" not in said
        return said.removeprefix("job.py: ").rstrip().replace(str(tmp_path), "")

    return told


@pytest.mark.parametrize("name", GUESSED)
def test_a_name_is_what_is_written(read, name):
    """YAML 1.1 reads these as numbers, truth and dates."""
    assert read(f"data:\n  dataset: {name}\n").data.dataset == name
    assert read(f"data: {{dataset: '{name}'}}\n").data.dataset == name
    assert read("", "--data.dataset", name).data.dataset == name
    assert read(f"train: {{run: {name}}}\nrank: {{splits: [{name}, a]}}\n").rank.splits == (name, "a")
    assert read("", "--rank.splits", f"[{name}]").rank.splits == (name,)


@pytest.mark.parametrize(
    ("written", "value"), [("1e-3", 1e-3), ("1E-3", 1e-3), (".5", 0.5), ("5.", 5.0), ("3", 3.0), ("1_000.5", 1000.5)]
)
def test_numbers(read, written, value):
    assert read(f"train: {{main: {{learning_rate: {written}}}}}").train.main.learning_rate == value
    assert read("", "--train.main.learning_rate", written).train.main.learning_rate == value


@settings(max_examples=200, deadline=None)
@given(
    st.floats(1e-300, 1e300),
    st.integers(1, 10**9),
    st.text(string.ascii_letters + string.digits, min_size=1, max_size=9),
)
def test_what_yaml_writes_is_read_back(number, whole, name):
    """As PyYAML, which is not ours, writes it: quotes and all."""
    from halfiqa_ray.config.command_line import value_of
    from halfiqa_ray.config.yaml_file import composed

    for key, value in (("train.main.learning_rate", number), ("rank.limit", whole), ("data.dataset", name)):
        [[_, node]] = composed(yaml.safe_dump({key: value}), "f").value
        assert value_of(key, "f", node, Settings) == value
    [[_, node]] = composed(yaml.safe_dump({"a": {"b": [number, whole, name, None, True]}}), "f").value
    found = value_of("model.options", "f", node, Settings)["b"]
    assert found[:2] == [number, whole]
    assert found[2] in (name, yaml.safe_load(name)) or str(found[2]).lower() == name.lower() or math.isfinite(found[2])
    assert found[3:] == [None, True]


def test_null_and_truth(read):
    found = read("rank: {checkpoint: null, zero: no, measure: False}\ndata:\n  scores:\n  # root: x\nmodel:\n")
    assert (found.rank.checkpoint, found.rank.zero, found.rank.measure) == (None, False, False)
    assert read("", "--rank.zero", "false", "--rank.checkpoint", "null", "--strict").strict


@pytest.mark.parametrize("content", ["", "# nothing\n", "---\n", "\n\n", "data:\n", b"\xef\xbb\xbf"])
def test_an_empty_file_sets_nothing(read, content):
    assert read(content) == Settings()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_of_windows(read, encoding):
    """Byte order marks and line ends."""
    assert read("data:\r\n  root: C:Fotos/写真\r\n".encode(encoding)).data.root == "C:Fotos/写真"


def test_later_ones_win_and_the_rest_stays(read, tmp_path):
    (tmp_path / "b.yaml").write_text("train: {finetune: {epochs: 5}}\ndata: {dataset: b}")
    found = read("data: {dataset: a, root: r}", "--data.root", "flag", "--config", str(tmp_path / "b.yaml"))
    assert (found.data.dataset, found.data.root) == ("b", "flag")
    assert (found.train.finetune.epochs, found.train.finetune.learning_rate) == (5, 1e-6)


def test_anchors_and_merges(read):
    text = "train:\n  main: &main\n    epochs: 3\n    decay: none\n  finetune:\n    <<: *main\n    epochs: 4\n"
    found = read(text).train
    assert (found.main.epochs, found.finetune.epochs, found.finetune.decay) == (3, 4, "none")


def test_settings_of_ones_own_are_those_of_yaml_1_2(read):
    found = read("model: {options: {a: no, b: 1e-3, c: 7, d: '7', e: true, f: 0042, g: [off, null]}}").model.options
    assert found == {"a": "no", "b": 1e-3, "c": 7, "d": "7", "e": True, "f": "0042", "g": ["off", None]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("data:\n\tdataset: a\n", "/a.yaml, line 2: there is a tab; indent with spaces"),
        ("data:\n  root: a\n  dataset: b\n  root: c\n", "/a.yaml, line 4: root was set before, in line 2"),
        ("data: {}\ndata: {}\n", "/a.yaml, line 2: data was set before, in line 1"),
        ("- data\n- rank\n", "/a.yaml is a list, not sections"),
        ("data\n", "/a.yaml is 'data', not sections"),
        ("dta:\n  root: a\n", "line 2: there is no dta in the settings; perhaps data is meant"),
        ("data:\n  rot: a\n", "line 2: there is no data.rot in the section data; perhaps root is meant"),
        ("data: photos\n", "line 1: data is a section: write its settings below it"),
        ("a: 1\n---\nb: 2\n", "a second document begins"),
        ("data: {root: [a, b]}\n", "data.root is '[a, b]': it is one value, and a list was read"),
        ("data: {root: }\n", "data.root is '': nothing is written there"),
        ("output: null\n", "output is 'null': nothing is written there"),
        ("rank: {limit: 0042}\n", "rank.limit is '0042': a number that begins with 0 is read as octal by some"),
        ("rank: {limit: many}\n", "rank.limit is 'many': it is a whole number"),
        ("rank: {limit: 1.5}\n", "rank.limit is '1.5': it is a whole number"),
        ("rank: {limit: 0}\n", "rank.limit is '0': it must be greater than or equal to 1"),
        ("rank: {zero: maybe}\n", "rank.zero is 'maybe': it is true or false"),
        ("rank: {rule: plcc}\n", "rank.rule is 'plcc': it must be 'level_plcc'"),
        ("rank: {splits: test}\n", "rank.splits is 'test': it is a list: write [test]"),
        ("rank: {grid: {rows: 9, columns: 9}}\n", "a grid of 9 x 9 has 81 blocks"),
        ("data: {mos_scale: [1]}\n", "data.mos_scale is '[1]': it has 2 values, and 1 were read"),
        ("data: {mos_scale: '1,5'}\n", "data.mos_scale is '1,5': it is a list: write [1, 5]"),
        ("train: {main: {learning_rate: '0,001'}}\n", "it is a number, with a point and no comma"),
        ("train: {main: {learning_rate: .inf}}\n", "train.main.learning_rate is '.inf': it is a number"),
        ("train: {main: {learning_rate: nan}}\n", "train.main.learning_rate is 'nan': it is a number"),
        ("data: {root: $SCRATCH/photos}\n", "data.root is '$SCRATCH/photos': $SCRATCH is not filled in here"),
        ("output: /data/${USER}\n", "${USER} is not filled in here"),
        ("output: 's3:/b/x'\n", "output is 's3:/b/x': it is not quite a URI: write s3://BUCKET/PATH"),
        ("tune: {space: [a]}\n", "tune.space is '[a]': it is a group of settings"),
        ("reproduce: {experiments: [{data: [a], modles: []}]}\n", "there is no setting 'modles' in it; there is data"),
        ("reproduce: {experiments: [{models: [[a]]}]}\n", "reproduce.experiments"),
        (b"data: {root: \xe9}\n", "/a.yaml, line 1: this is not UTF-8"),
        (b"data: {root: \x07}\n", "is not allowed in YAML"),
        ("data: {root: [}\n", "/a.yaml, line 1: "),
        ("data: {<<: 3}\n", "/a.yaml, line 1: "),
        ("? [a]\n: b\n", "a setting's name is a word"),
    ],
)
def test_one_line_says_file_setting_and_cure(refused, content, said):
    assert said in refused(content)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["--rank.splits", "test,validation"],
            "--rank.splits: rank.splits is 'test,validation': it is a list: write [test, ",
        ),
        (["--rank.splits", "[test"], "--rank.splits: "),
        (["--rank.splits", ""], "nothing is written there"),
        (["--data.dataset", ""], "a name has letters"),
        (["--rank.gird.rows", "3"], "there is no setting --rank.gird.rows; perhaps --rank.grid.rows is meant"),
        (["stray"], "there is no setting stray"),
        (["--data.root"], "--data.root: expected one argument"),
        (["--config", "/nowhere/a.yaml"], "--config /nowhere/a.yaml: there is no such file here"),
        (["--config", "/"], "cannot read '/': Is a directory"),
        (["--output", ""], "output is '': it is empty"),
        (["--output", "s3://me:secret@bucket/x"], "output is 's3://***@bucket/x': it has a user or password in it"),
    ],
)
def test_flags(refused, flags, said):
    assert said in refused("", *flags)


FOLDERS = (
    ".",
    "./a b",
    "/data/写真",
    "run:1",
    "2024-06-01T10:00/out",
    "a@b/c",
    "~/photos",
    "../up",
    "C:x",
    "cost$1",
    "a/$",
    "x/s3:/b",
)
STORES = ("s3://b", "s3://b/k e//y?#%@:$", "gs://b/x", "file:///x", "hdfs://me@name:9000/x", "abfs://box@account/x")
NEARLY = (
    *(
        "s3:/b",
        "s3:b",
        "s3:///b",
        "s3://",
        "S3://b",
        "S3:b",
        " s3://b",
        "s3:////b",
        "s3://a b/c",
        "s3://b:9000/x",
        "s3a://b/x",
    ),
    *(
        "file:/x",
        "file://x",
        "file://localhost/x",
        "FILE:///x",
        "file:x",
        "File:/x",
        "gs:/b",
        "gcs:b",
        "HTTP://x",
        "http://h/x",
    ),
    *(
        "https://h/x",
        "http:/h",
        "ftp://h/x",
        "foo:/x",
        "",
        " ",
        "\t",
        "a\0b",
        "s3://u:p@b/x",
        "s3://u@b",
        "hdfs://u:p@h/x",
    ),
)


@pytest.mark.parametrize("uri", [*FOLDERS, *STORES])
def test_what_is_a_path_or_a_uri(uri):
    assert checked_uri(uri) == uri


@pytest.mark.parametrize("uri", NEARLY)
def test_what_is_nearly_one(uri):
    with pytest.raises(ValueError) as raised:
        checked_uri(uri)
    assert "u:p" not in str(raised.value)
    assert "p@" not in str(raised.value)


BAD = (
    "_pilot",
    ".hidden",
    "..",
    ".",
    "",
    " ",
    "a b",
    "a/b",
    "a\\b",
    "写真",
    "é",
    "-x",
    "a\n",
    "a" * (MOST + 1),
    "~",
    "a:b",
    "$a",
    "a\0",
)
GOOD = ("00112233", "1e5", "koniq10k", "a.b-c_d", "A", "a" * MOST, "a..b", "no")
SETTINGS = ("data.dataset", "train.run", "tune.name", "published.dataset", "published.run", "model.name")


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", BAD)
def test_names_that_hide_or_climb_are_refused_everywhere(refused, setting, name):
    assert f"--{setting}" in refused("", f"--{setting}={name}")


@pytest.mark.parametrize("name", BAD)
def test_names_are_refused_where_they_become_folders(refused, name):
    with pytest.raises(ValueError, match="a name has"):
        checked_name(name)
    for place in range(3):
        names = ["koniq10k", "triq", "default"]
        names[place] = name
        with pytest.raises(ValueError, match="a name has"):
            checkpoint_uri("out", *names)
    assert "report.datasets" in refused(yaml.safe_dump({"report": {"datasets": [name]}}))


@pytest.mark.parametrize("name", GOOD)
def test_names_that_are_names(read, name):
    assert read("", "--data.dataset", name, "--train.run", name, "--tune.name", name).train.run == name
    assert checkpoint_uri("out", name, "triq", name) == f"out/checkpoints/{name}/triq/{name}"
