"""KonIQ-10k (Hosu et al., IEEE TIP 2020): its three score lists, told apart by their content.

| list | votes | MOS | more |
|---|---|---|---|
| `koniq10k_scores_and_distributions.csv` (official) | counts | 1-5 | SD, MOS_zscore |
| `koniq10k_distributions_sets.csv` (official repository) | fractions | 0-100 z-score | SD, `set`: the published split |
| `koniq10k_images_scores.csv` (repository of TRIQ's author, no header) | counts | 1-5 | |

In the manifest MOS is always on 1 to 5. Photos lie in `1024x768/`, in `512x384/` or directly in the root; one of the
three serves the whole list.
"""

from __future__ import annotations

from halfiqa_ray.config import DataSettings
from halfiqa_ray.data.lists import roles, score_list, scored
from halfiqa_ray.data.lists.numbers import looks_like_number
from halfiqa_ray.data.manifest import Listing
from halfiqa_ray.data.problems import DataError

LISTS = (
    "koniq10k_scores_and_distributions.csv",
    "koniq10k_scores_and_distributions/koniq10k_scores_and_distributions.csv",
    "koniq10k_distributions_sets.csv",
    "koniq10k_images_scores.csv",
)
FOLDERS = ("1024x768", "512x384", "")
NOTE = (
    "KonIQ-10k, Hosu et al., IEEE Transactions on Image Processing 2020; photos from YFCC100M under their Creative "
    "Commons licences. See the terms of its authors."
)
HEADERLESS = {"name": 0, "c1": 1, "c2": 2, "c3": 3, "c4": 4, "c5": 5, "mos": 6}
ROLES = {"total": ("c_total",), "std": ("sd",), "zscore": ("mos_zscore",)}


def read(settings: DataSettings) -> Listing:
    """KonIQ-10k below ``settings.root``. Raises DataError when its list is not there or is none of the three."""
    scores = score_list.read(score_list.find(settings.scores, settings.root, LISTS), name_column=settings.name_column)
    if scores.header is None:
        columns = dict(HEADERLESS)
        if not _is_headerless(scores) or roles.are_named(settings):
            raise DataError(
                f"{scores.file} is no KonIQ-10k score list: it has neither a header with image_name, c1..c5 and MOS "
                f"nor rows of name, five vote counts, MOS; it has {scores.described()}"
            )
    else:
        columns = _columns(settings, scores)
    return scored.read_split_rows(settings, scores, columns, FOLDERS, scored.LEVEL_SCALE, NOTE)


def _columns(settings: DataSettings, scores: score_list.ScoreList) -> dict[str, int]:
    wanted = {**{role: (role,) for role in scored.VOTE_ROLES}, **ROLES}
    places = {role: scores.column(*names) for role, names in wanted.items()}
    places["name"] = roles.name_place(scores, settings.name_column)
    if missing := [role for role in (*scored.VOTE_ROLES, "name") if places[role] is None]:
        raise DataError(
            f"{scores.file} lacks the columns {missing} of a KonIQ-10k score list; it has {scores.described()}"
        )
    columns = {role: place for role, place in places.items() if place is not None}
    columns["mos"] = roles.mos_place(settings, scores, has_votes=True)
    if columns.get("zscore") == columns["mos"]:
        del columns["zscore"]
    return columns


def _is_headerless(scores: score_list.ScoreList) -> bool:
    """Whether the rows are a name, five numbers and a MOS (some of the first may be broken)."""
    if scores.columns != len(HEADERLESS) or scores.begins_with_words:
        return False
    return any(all(map(looks_like_number, line.cells[1 : len(HEADERLESS)])) for line in scores.lines[:20])
