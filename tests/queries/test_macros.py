"""The functions of SQL against numpy, scipy and the project's own statistics."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from halfiqa_ray.masking.grid import Grid
from halfiqa_ray.queries.connection import connect
from halfiqa_ray.queries.stored_files import SharedFile
from halfiqa_ray.statistics.pearson import pearson
from halfiqa_ray.tables.stored.reading import vectors
from tests.tables import planted


@pytest.fixture(scope="module")
def sql(planted_output):
    """One value of SQL."""
    with connect(str(planted_output[0]), "all") as connection:

        def value(text, *values):
            ((found,),) = connection.execute(f"SELECT {text}", list(values)).fetchall()
            return found

        yield value


masks = st.integers(0, 2**16 - 1)


@given(mask=masks, block=st.integers(0, 15))
def test_masks(sql, mask, block):
    bits = [b for b in range(16) if mask & (1 << b)]
    assert sql("kept(?, ?)", mask, block) == (block in bits)
    assert sql("is_important(?::USMALLINT, ?)", mask, block) == (block in bits)
    assert sql("block_count(?::USMALLINT)", mask) == len(bits)
    assert sql("blocks_of(?::USMALLINT)", mask) == bits
    assert sql("mask_of(?::BIGINT[])", bits) == mask == Grid(4, 4).as_mask(bits)
    assert sql("mask_of(?::BIGINT[])", bits + bits[:1]) == mask
    assert sql("complement(?::USMALLINT, 16)", mask) == Grid(4, 4).full ^ mask


@given(mask=st.integers(0, 63))
def test_complement_within_a_smaller_grid(sql, mask):
    grid = Grid(2, 3)
    assert sql("complement(?, ?)", mask, grid.blocks) == grid.full ^ mask


def test_the_largest_mask_is_no_overflow(sql):
    assert sql("subset_score(range(65536), 65535::USMALLINT)") == 65535
    assert sql("subset_score(range(65536), 0::USMALLINT)") == 0


@pytest.mark.parametrize(
    "call",
    [
        *("kept(NULL, 1)", "is_important(NULL, 1)", "block_count(NULL)", "blocks_of(NULL)", "mask_of(NULL)"),
        *("complement(NULL, 12)", "subset_score([1, 2], NULL)", "subset_score(NULL, 1)"),
    ],
)
def test_null_gives_null(sql, call):
    assert sql(call) is None


@pytest.fixture(scope="module")
def numbers(planted_output):
    """Rows in three groups, with ties and nulls, and SQL over them."""
    draw = np.random.default_rng(0)
    x = draw.normal(3, 1, 900).round(1)
    y = (x + draw.normal(0, 1, 900)).round(1)
    group, missing = np.arange(900) % 3, draw.random(900) < 0.1
    rows = pa.table({"g": group, "x": pa.array(x.astype(np.float32)), "y": pa.array(y, mask=missing)})
    with connect(str(planted_output[0]), "all") as connection:
        connection.register("numbers", rows)
        yield connection, x.astype(np.float32), y, group, missing


def test_correlations_are_those_of_scipy_group_by_group(numbers):
    connection, x, y, group, missing = numbers
    found = connection.sql("SELECT g, plcc(x, y), srcc(x, y) FROM numbers GROUP BY g ORDER BY g").fetchall()
    for number, plcc, srcc in found:
        there = (group == number) & ~missing
        assert plcc == pytest.approx(pearsonr(x[there].astype(float), y[there]).statistic, abs=1e-12)
        assert srcc == pytest.approx(spearmanr(x[there], y[there]).statistic, abs=1e-12)


def test_correlations_of_some_rows_by_case(numbers):
    connection, x, y, group, missing = numbers
    ((plcc, srcc),) = connection.sql(
        "SELECT plcc(CASE WHEN g = 1 THEN x END, y), srcc(CASE WHEN g = 1 THEN x END, y) FROM numbers"
    ).fetchall()
    there = (group == 1) & ~missing
    assert plcc == pytest.approx(pearsonr(x[there].astype(float), y[there]).statistic, abs=1e-12)
    assert srcc == pytest.approx(spearmanr(x[there], y[there]).statistic, abs=1e-12)


@pytest.mark.parametrize("x", ["2.5", "x * 1e-9 + 100", "NULL::DOUBLE", "CASE WHEN y IS NULL THEN x END"])
def test_nothing_varies_so_nothing_correlates(numbers, x):
    connection = numbers[0]
    assert connection.sql(f"SELECT plcc({x}, y), plcc(y, {x}), srcc({x}, y), srcc(y, {x}) FROM numbers").fetchall() == [
        (None,) * 4
    ]
    assert connection.sql(f"SELECT plcc({x}, y), srcc({x}, y) FROM numbers WHERE false").fetchall() == [(None, None)]


def test_what_varies_is_decided_over_the_rows_with_both_values(sql, planted_output):
    """x varies, but not where y is known; the project's own rule says there is no correlation."""
    x, y = [1.0, 1.0, 1.0, 5.0], [1.0, 2.0, 3.0, None]
    assert np.isnan(pearson(x[:3], y[:3]))
    assert sql("plcc(x, y) FROM (SELECT unnest(?::DOUBLE[]) AS x, unnest(?::DOUBLE[]) AS y)", x, y) is None


def test_unnest_subsets_gives_every_subset_of_every_image(asked, planted_output):
    rows = planted_output[1]["tiny"]
    found = asked.sql(
        "FROM unnest_subsets() SELECT image_id, subset, kept_blocks, score, whole_score, mos "
        "WHERE dataset = 'tiny' ORDER BY image_id, subset"
    ).to_arrow_table()
    expected = rows.sort_by("image_id")
    grid, count = Grid(3, 4), rows.num_rows
    assert found["image_id"].to_pylist() == [i for i in expected["image_id"].to_pylist() for _ in range(grid.subsets)]
    np.testing.assert_array_equal(found["subset"].to_numpy(), np.tile(np.arange(grid.subsets), count))
    np.testing.assert_array_equal(found["kept_blocks"].to_numpy(), np.tile(grid.sizes(), count))
    scores = vectors(expected["subset_scores"])
    np.testing.assert_array_equal(found["score"].to_numpy(), scores.ravel())
    np.testing.assert_array_equal(found["whole_score"].to_numpy(), np.repeat(scores[:, -1], grid.subsets))
    np.testing.assert_array_equal(found["mos"].to_numpy(), np.repeat(expected["mos"].to_numpy(), grid.subsets))


def test_unnest_subsets_of_a_view_of_ones_own(asked):
    (found,) = asked.sql(
        "CREATE VIEW mine AS FROM rank WHERE dataset = 'tiny' AND split = 'test'; "
        "SELECT count(*), count(DISTINCT image_id), min(split) FROM unnest_subsets(source := 'mine')"
    ).fetchall()
    assert found[1:] == (found[0] // 4096, "test")
    assert 0 < found[1] < 20


def test_unnest_subsets_reads_only_what_is_asked_for(tmp_path, monkeypatch):
    """One image of four row groups, and an image that is not there: the scores of the others are not read."""
    rows, _ = planted.rows(256, Grid(3, 4))
    (path,) = planted.write(tmp_path, rows.sort_by("image_id"), 1)
    read = counted_bytes(monkeypatch)
    size = (tmp_path / path).stat().st_size
    with connect(str(tmp_path), "all") as connection:
        query = "SELECT count(*) FROM unnest_subsets() WHERE image_id = 'folder/000100.jpg' AND kept_blocks = 3"
        read.clear()
        assert connection.sql(query).fetchall() == [(220,)]
        assert sum(read) < size / 4
        read.clear()
        assert connection.sql(query.replace("000100", "999999")).fetchall() == [(0,)]
        assert sum(read) < size / 20


def counted_bytes(monkeypatch):
    read = []
    real = SharedFile.read
    monkeypatch.setattr(SharedFile, "read", lambda file, size: (read.append(size), real(file, size))[1])
    return read
