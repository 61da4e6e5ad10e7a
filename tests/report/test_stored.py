import pytest

from halfiqa_ray import schema
from halfiqa_ray.report.stored import Missing, scope_of_test, substitute, wanted_rule
from tests.report import planted_report


def test_a_rule_is_replaced_only_by_one_that_is_there_and_said():
    assert substitute("shapley", {"shapley", "score_change"}) == ("shapley", "")
    assert substitute("shapley", {"score_change"}) == (
        "score_change",
        "shapley has no halves here; score_change is shown instead",
    )
    with pytest.raises(Missing, match="no halves by shapley or by score_change"):
        substitute("shapley", {"banzhaf"})


def test_figures_show_the_rule_of_the_tables_unless_another_is_named(tmp_path):
    planted_report.plant(tmp_path)
    run = planted_report.make_tables(tmp_path, rule="banzhaf")
    assert wanted_rule(str(tmp_path), run, "level_plcc") == "banzhaf"
    assert wanted_rule(str(tmp_path), run, "shapley") == "shapley"
    assert wanted_rule(str(tmp_path / "nowhere"), run, "level_plcc") == "level_plcc"


def test_the_test_images_are_found():
    assert scope_of_test([{"scope": s} for s in ("all", "test_same_photo", "test", "train")]) == "test"
    assert scope_of_test([{"scope": s} for s in ("all", "test_b", "test_a")]) == "test_a"
    assert scope_of_test([{"scope": "all"}]) == "all"
    assert "scope" in schema.TABLE1.names
