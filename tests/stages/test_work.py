"""What is left to do of every photo, from what is stored."""

import pyarrow as pa
import pytest

from halfiqa_ray import schema, storage
from halfiqa_ray.stages.work import Explainer, Wanted, discard_other_halves, work, zeroed_rankings

MANIFEST = pa.table(
    {
        "image_id": ["a", "b", "c", "d"],
        "uri": ["/a", "/b", "/c", "/d"],
        "split": ["test", "test", "train", "test"],
        "source_photo": pa.nulls(4, pa.string()),
        "mos": [1.0, 2.0, 3.0, 4.0],
        "levels": [None] * 4,
    }
)


def write_rank(folder, halves):
    rules = {
        f"important_{rule}": pa.array([h.get(rule) for h in halves.values()], pa.uint16())
        for rule in schema.IMAGE_RULES
    }
    storage.write_table(f"{folder}/data-1.parquet", pa.table({"image_id": list(halves)} | rules))


def write_measures(folder, halves):
    rows = [{"image_id": i, "measure": m, "high_blocks": h} for i, some in halves.items() for m, h in some.items()]
    storage.write_table(f"{folder}/data-1.parquet", pa.Table.from_pylist(rows))


def write_zeroed(folder, rankings, name="data-1"):
    rows = []
    for image_id, some in rankings.items():
        for ranking, half in some.items():
            for zeroed_half, blocks in (("important", half), ("trivial", 63 ^ half)) if ranking else (("none", 0),):
                row = {"image_id": image_id, "ranking": ranking, "zeroed_half": zeroed_half, "zeroed_blocks": blocks}
                row |= {"fill": "zero" if ranking else "none"}
                rows.append(row | {"split": "test", "source_photo": None, "mos": None, "score": 1.0})
    storage.write_table(f"{folder}/{name}.parquet", pa.Table.from_pylist(rows, schema.ZEROED))


def write_explained(folder, halves):
    rows = [{"image_id": i, "method": m, "high_blocks": h} for i, some in halves.items() for m, h in some.items()]
    storage.write_table(f"{folder}/data-1.parquet", pa.Table.from_pylist(rows))


@pytest.fixture
def folders(tmp_path):
    return {name: str(tmp_path / name) for name in ("rank", "measures", "m0", "m1", "explained", "maps")}


def wanted(folders, **changes):
    everything = {
        "rank": folders["rank"],
        "fill_rank": True,
        "measures": folders["measures"],
        "fill_measures": True,
        "zeroed": [folders["m0"], folders["m1"]],
        "zeroed_images": frozenset("abd"),
        "rankings": ("level_plcc", "saliency"),
    }
    return Wanted(**(everything | changes))


def test_with_nothing_stored_everything_is_to_do(folders):
    rows = work(MANIFEST, wanted(folders)).to_pylist()
    assert [row["image_id"] for row in rows] == ["a", "b", "c", "d"]
    assert all(row["rank"] and row["measure"] for row in rows)
    assert rows[2]["zero"] == []
    assert [(w["model"], w["ranking"]) for w in rows[0]["zero"]] == [
        (m, r) for m in (0, 1) for r in (None, "level_plcc", "saliency")
    ]


def test_an_image_is_finished_when_it_is_in_every_output(folders):
    """a is everywhere; b lacks one ranking of one model; c needs no zeroing; d has only its rank row."""
    write_rank(folders["rank"], {i: {"level_plcc": 7, "shapley": 21} for i in "abcd"})
    write_measures(folders["measures"], {i: {"saliency": 13, "other": 1} for i in "abc"})
    write_zeroed(folders["m0"], {i: {None: 0, "level_plcc": 7, "saliency": 13} for i in "ab"})
    write_zeroed(folders["m1"], {"a": {None: 0, "level_plcc": 7, "saliency": 13}, "b": {None: 0, "level_plcc": 7}})
    b, d = work(MANIFEST, wanted(folders)).to_pylist()
    assert (b["image_id"], b["rank"], b["measure"]) == ("b", False, False)
    assert b["zero"] == [{"model": 1, "ranking": "saliency", "fill": "zero"}]
    assert b["halves"] == [{"ranking": "level_plcc", "half": 7}, {"ranking": "saliency", "half": 13}]
    assert (d["image_id"], d["rank"], d["measure"], len(d["zero"])) == ("d", False, True, 6)
    assert d["halves"] == [{"ranking": "level_plcc", "half": 7}]


def test_halves_only_taken_are_not_made(folders):
    write_rank(folders["rank"], {"a": {"level_plcc": 7}})
    rows = work(MANIFEST, wanted(folders, fill_rank=False, fill_measures=False)).to_pylist()
    assert [row["image_id"] for row in rows] == ["a", "b", "d"]
    assert not any(row["rank"] or row["measure"] for row in rows)


def test_given_halves_are_asked_of_the_images_that_have_one(folders):
    given = {"control_other": {"a": 7, "b": 21}}
    write_zeroed(folders["m0"], {"a": {None: 0}, "b": {None: 0}})
    rows = work(MANIFEST, Wanted(zeroed=[folders["m0"]], zeroed_images=frozenset("ab"), given=given)).to_pylist()
    assert [row["zero"] for row in rows] == [[{"model": 0, "ranking": "control_other", "fill": "zero"}]] * 2
    assert rows[1]["halves"] == [{"ranking": "control_other", "half": 21}]


def test_what_is_to_be_explained_and_drawn(folders):
    """a lacks one method; b is there, with its maps; d is explained, but has no maps; c is not asked for."""
    write_explained(folders["explained"], {"a": {"grad_cam": 7}, "b": {"grad_cam": 7, "lime": 9}, "d": {"lime": 3}})
    storage.write_table(f"{folders['maps']}/data-1.parquet", pa.table({"image_id": ["b", "b"]}))
    rows = work(
        MANIFEST,
        Wanted(
            explainers=[Explainer(1, "triq", folders["explained"])],
            methods=("grad_cam", "lime"),
            explained_images=frozenset("abd"),
            maps=folders["maps"],
            mapped_images=frozenset("bd"),
        ),
    ).to_pylist()
    assert [(row["image_id"], row["mapped"]) for row in rows] == [("a", False), ("d", True)]
    assert rows[0]["explain"] == [{"model": 1, "method": "lime"}]
    assert rows[1]["explain"] == [{"model": 1, "method": m} for m in ("grad_cam", "lime")]  # maps are of all of them
    assert rows[1]["zero"] == []


def test_halves_of_explanations_are_known_and_own_ones_asked_of_their_model_only(folders):
    write_explained(folders["explained"], {"a": {"lime": 9}})
    explainers = [Explainer(0, "triq", folders["explained"]), Explainer(1, "koncept", folders["maps"])]
    [row] = work(
        MANIFEST.slice(0, 1),
        Wanted(
            zeroed=[folders["m0"], folders["m1"]],
            zeroed_images=frozenset("a"),
            rankings=("lime_triq", "lime_koncept"),
            own={"lime_koncept": 1},
            explainers=explainers,
            methods=("lime",),
            explained_images=frozenset("a"),
        ),
    ).to_pylist()
    assert row["explain"] == [{"model": 1, "method": "lime"}]
    asked = [(0, None), (0, "lime_triq"), (1, None), (1, "lime_triq"), (1, "lime_koncept")]
    assert [(w["model"], w["ranking"]) for w in row["zero"]] == asked
    assert row["halves"] == [{"ranking": "lime_triq", "half": 9}]


def test_nothing_left(folders):
    write_rank(folders["rank"], {i: {} for i in "abcd"})
    left = work(MANIFEST, Wanted(rank=folders["rank"], fill_rank=True))
    assert left.num_rows == 0
    assert left.column_names[-7:] == ["rank", "measure", "mapped", "explain", "zero", "halves", "orders"]


def test_rows_of_a_half_that_changed_are_discarded(folders):
    """a's partner is another one now; b's is not, and rankings of other kinds stay."""
    write_zeroed(folders["m0"], {i: {None: 0, "control_other": 7, "level_plcc": 7} for i in "ab"})
    write_zeroed(folders["m0"], {"d": {"control_other": 7}}, "data-2")
    given = {"control_other": {"a": 21, "b": 7, "d": 7}}
    assert discard_other_halves(folders["m0"], given, {"b", "d"}) == 0
    assert discard_other_halves(folders["m0"], given, {"a", "b", "d"}) == 1
    assert zeroed_rankings(folders["m0"]) == {
        "a": {(None, "none"), ("level_plcc", "zero")},
        "b": {(None, "none"), ("control_other", "zero"), ("level_plcc", "zero")},
        "d": {("control_other", "zero")},
    }
    assert discard_other_halves(folders["m0"], given, {"a", "b", "d"}) == 0
    assert discard_other_halves(folders["m0"], {"control_other": {}}, {"b"}) == 1, "no half is another half, too"


def test_of_another_fill_only_what_is_missing_is_asked(folders):
    """a has all of zero, in a file of before there were fills; b too, and one ranking blurred."""
    write_zeroed(folders["m0"], {"a": {None: 0, "level_plcc": 7, "saliency": 13}})
    older = storage.read_table(f"{folders['m0']}/data-1.parquet").drop_columns(["fill"])
    storage.write_table(f"{folders['m0']}/data-1.parquet", older)
    write_zeroed(folders["m0"], {"b": {None: 0, "level_plcc": 7, "saliency": 13}}, "part-1")
    blurred = storage.read_table(f"{folders['m0']}/part-1.parquet").slice(1, 2)
    blurred = blurred.set_column(blurred.column_names.index("fill"), schema.ZEROED.field("fill"), [["blur"] * 2])
    storage.write_table(f"{folders['m0']}/part-2.parquet", blurred)
    asked = {"zeroed": [folders["m0"]], "zeroed_images": frozenset("ab"), "rankings": ("level_plcc", "saliency")}
    assert work(MANIFEST, Wanted(**asked)).num_rows == 0
    rows = work(MANIFEST, Wanted(**asked, fills=("blur", "zero"), given={"single_block": {"b": 0}})).to_pylist()
    found = {row["image_id"]: [(w["ranking"], w["fill"]) for w in row["zero"]] for row in rows}
    assert found == {
        "a": [("level_plcc", "blur"), ("saliency", "blur")],
        "b": [("saliency", "blur"), ("single_block", "zero")],
    }


def test_orders_are_asked_of_the_images_that_have_one_until_they_are_there(folders):
    write_zeroed(folders["m0"], {i: {None: 0} for i in "ab"})
    orders = {"order_shapley": {"a": [1, 3, 7], "b": [4, 6, 7]}, "order_control_random": {"a": [2, 3, 7]}}
    asked = {"zeroed": [folders["m0"]], "zeroed_images": frozenset("ab"), "orders": orders, "order_fills": ("zero",)}
    a, b = work(MANIFEST, Wanted(**asked)).to_pylist()
    assert {w["ranking"] for w in a["zero"]} == set(orders)
    assert b["zero"] == [{"model": 0, "ranking": "order_shapley", "fill": "zero"}]
    assert b["orders"] == [{"ranking": "order_shapley", "first": [4, 6, 7]}]
    rows = [
        {"image_id": "b", "ranking": "order_shapley", "zeroed_half": half, "zeroed_blocks": mask, "fill": "zero"}
        | {"split": "test", "source_photo": None, "mos": None, "score": 1.0}
        for half, masks in (("deletion", (4, 6, 7)), ("insertion", (3, 1)))
        for mask in masks
    ]
    storage.write_table(f"{folders['m0']}/part-9.parquet", pa.Table.from_pylist(rows, schema.ZEROED))
    assert [row["image_id"] for row in work(MANIFEST, Wanted(**asked)).to_pylist()] == ["a"]
