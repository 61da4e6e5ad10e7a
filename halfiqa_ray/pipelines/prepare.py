"""The prepare job: a data set's lists and photos into a manifest, each row checked, each photo in its split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from halfiqa_ray import schema, storage
from halfiqa_ray.config import Settings, fingerprint
from halfiqa_ray.data import alikeness, problems, splits
from halfiqa_ray.data import manifest as manifests
from halfiqa_ray.data.lists import name_list, score_list, sidecars
from halfiqa_ray.data.lists.name_list import NameList
from halfiqa_ray.data.lists.readers import read_listing
from halfiqa_ray.data.lists.sidecars import Sidecars
from halfiqa_ray.data.manifest import Listing
from halfiqa_ray.data.problems import DataError, Problem

FORMAT = 1  # of the manifest; a higher one makes every data set anew
SHOWN = 3  # problems of each kind that are printed


def run(settings: Settings) -> int:
    """Make the manifest that ``settings.data`` describes under ``settings.output``; returns the exit code.

    0: made, or nothing has changed. 1: refused, because ``settings.strict`` is set and there are problems; the
    manifest is then as it was. Raises DataError when the data set cannot be read at all.
    """
    data = settings.data
    print(f"prepare {data.dataset}: layout {data.layout}, photos in {data.root}", flush=True)
    listing = read_listing(data)
    beside = sidecars.read(listing.root)
    published = _published_split(settings, beside)
    source = split_source(settings, listing, published)
    cut = validation_to_cut(settings, listing, published, source)
    inputs = fingerprint(
        {
            "format": FORMAT,
            "data": data.model_dump(mode="json"),
            "seed": settings.seed if source == "own" or cut else None,
            "listing": listing.content_hash(),
            "beside": repr(beside),
            "split": published.sha256 if published else None,
        }
    )
    if _is_made(settings, inputs):
        return 0
    for note in listing.notes:
        print(f"  {note}", flush=True)
    if not listing.rows:
        _report(listing.problems, settings)
        raise DataError(
            f"none of the photos can be used ({_counts(listing.problems) or 'there are none'}): is data.root = "
            f"{data.root} right?"
        )
    if settings.strict and listing.problems:
        return _refuse(listing.problems, settings)
    return _make(settings, listing, beside, published, source, cut, inputs)


def prepare_folder(settings: Settings) -> int:
    """`run` where the photos are a plain folder and the manifest, if there is one, is of such; else 0.

    So that a job on own photos needs no other job before it.
    """
    uri = storage.join(manifests.folder(settings.output, settings.data.dataset), manifests.FILE_NAME)
    given = storage.exists(uri) and schema.metadata(storage.read_schema(uri)).get("layout") != "folder"
    return 0 if settings.data.layout != "folder" or given else run(settings)


def _make(
    settings: Settings,
    listing: Listing,
    beside: Sidecars,
    published: NameList | None,
    source: str | None,
    cut: float,
    inputs: str,
) -> int:
    folder = manifests.folder(settings.output, settings.data.dataset)
    # Below here photos may be decoded and files are written: worth the seconds that importing torch and Ray takes.
    from halfiqa_ray.runtime.record import RunRecord

    with RunRecord.of(settings, "prepare", inputs) as record:
        found = list(listing.problems)
        if beside.source_photos is not None:
            found += sidecars.fill_source_photos(listing.rows, beside.source_photos)
        retry = False
        if source == "own" or cut:
            from halfiqa_ray.pipelines.spatial_information import measure

            with record.timed("spatial_information"):
                unreadable = measure(listing.rows, settings, storage.join(folder, "_spatial_information"))
            retry = any(problem.kind in problems.PASSING for problem in unreadable)
            lost = {problem.image_id for problem in unreadable}
            listing.rows = [row for row in listing.rows if row.image_id not in lost]
            found += [_in_list(problem, listing) for problem in unreadable]
        found += _assign(settings, listing, published, source)
        if cut:
            _cut_validation(settings, listing, cut)
        record.note(counts={"in": len(listing.rows) + len(found), "out": len(listing.rows), "failed": len(found)})
        if settings.strict and found:
            return _refuse(found, settings)
        _report(found, settings)
        if not listing.rows:
            raise DataError(f"none of the photos can be read ({_counts(found)})")
        split_hash = splits.split_hash({row.image_id: row.split for row in listing.rows})
        record.note(split_hash=split_hash)
        _print_splits(listing, source)
        metadata = _metadata(settings, listing, beside, source, cut)
        metadata |= {"split_hash": split_hash, "inputs": inputs, "problems": len(found), "retry": retry}
        uri = storage.join(folder, manifests.FILE_NAME)
        storage.write_table(uri, manifests.to_table(listing.rows, source, metadata))
    print(f"manifest: {len(listing.rows):,} photos, split hash {split_hash[:12]}, in {uri}", flush=True)
    return 0


def split_source(settings: Settings, listing: Listing, published: NameList | None) -> str | None:
    """Where the splits come from: file, column, own, or None. Raises DataError when what is asked for is not there.

    `auto` takes the first there is: a split file (or the split column of source_photos.csv), the score list's
    column, our own when there are scores to make it alike in.
    """
    there = {"file": published is not None, "column": listing.split_column is not None, "own": True, "none": True}
    wanted = settings.data.split
    if wanted == "auto":
        if there["file"] or there["column"]:
            return "file" if there["file"] else "column"
        return "own" if listing.mos_scale is not None else None
    if not there[wanted]:
        hint = "set data.split_file" if wanted == "file" else f"{listing.file or 'this layout'} has no split column"
        raise DataError(f"data.split is {wanted}, but there is none: {hint}")
    return None if wanted == "none" else wanted


def _published_split(settings: Settings, beside: Sidecars) -> NameList | None:
    uri = settings.data.split_file
    if uri is None or settings.data.split not in ("auto", "file"):
        return beside.splits if settings.data.split in ("auto", "file") else None
    published = name_list.read(score_list.read(uri, wanted=("split", "set")), "split", "set")
    if published is None:
        raise DataError(f"{uri} (data.split_file) has no column split: its header must be image_name,split")
    return published


def _assign(settings: Settings, listing: Listing, published: NameList | None, source: str | None) -> list[Problem]:
    """Set ``split`` of every row; returns what is wrong with a published split file."""
    if source == "file" and published is not None:
        found = splits.from_file([row.image_id for row in listing.rows], published)
        for row in listing.rows:
            row.split = found.splits[row.image_id]
        if found.unlisted:
            print(f"  {found.unlisted:,} photos are not in {published.file}: they get no split", flush=True)
        if found.unused:
            print(f"  {found.unused:,} names in {published.file} are none of these photos", flush=True)
        return found.problems
    if source == "own":
        chosen = splits.own(listing.rows, listing.mos_scale, settings.seed)
        for row in listing.rows:
            row.split = chosen[row.image_id]
    else:
        for row in listing.rows:
            row.split = splits.normalise(row.split) if source == "column" else None
    return []


def validation_to_cut(settings: Settings, listing: Listing, published: NameList | None, source: str | None) -> float:
    """Which share of a published split's training photos becomes its validation photos; 0 where it has some."""
    wanted = settings.data.validation_share
    share = listing.validation_share if wanted is None else wanted
    if source == "file" and published is not None:
        names = {splits.normalise(value) for value in published.values.values()}
    elif source == "column":
        names = {splits.normalise(row.split) for row in listing.rows}
    else:
        return 0.0
    return share if splits.TRAIN in names and splits.VALIDATION not in names else 0.0


def _cut_validation(settings: Settings, listing: Listing, share: float) -> None:
    train = [row for row in listing.rows if row.split == splits.TRAIN]
    chosen = splits.with_validation(train, listing.mos_scale, settings.seed, share)
    for row in train:
        row.split = chosen[row.image_id]


def _metadata(settings: Settings, listing: Listing, beside: Sidecars, source: str | None, cut: float) -> dict[str, Any]:
    scale = listing.mos_scale
    return {
        "dataset": settings.data.dataset,
        "layout": settings.data.layout,
        "root": listing.root,
        "mos_scale": {"low": scale[0], "high": scale[1]} if scale else None,
        "synthetic": beside.synthetic,
        "synthetic_notice": beside.notice,
        "source_note": beside.notice or listing.source_note,
        "scores": listing.file,
        "scores_sha256": listing.file_sha256,
        "split_source": source,
        "validation_share": cut or None,  # cut from the training photos of a published split that has no validation
        "seed": settings.seed if source == "own" or cut else None,
    }


def _is_made(settings: Settings, inputs: str) -> bool:
    """Whether the manifest of exactly these inputs is there already; says so."""
    uri = storage.join(manifests.folder(settings.output, settings.data.dataset), manifests.FILE_NAME)
    if not storage.exists(uri):
        return False
    made = schema.metadata(storage.read_schema(uri))
    if made.get("inputs") != inputs or made.get("retry") or (settings.strict and made.get("problems")):
        return False
    rows = manifests.read_manifest(settings.output, settings.data.dataset).num_rows
    print(
        f"nothing has changed since the manifest was made: {rows:,} photos, {made['problems']:,} problems, "
        f"split hash {made['split_hash'][:12]}, in {uri}",
        flush=True,
    )
    return True


def _in_list(problem: Problem, listing: Listing) -> Problem:
    """The same problem with the list's name before the row, where the photo came from a list."""
    file = listing.file if problem.row is not None else None
    return Problem(problem.kind, problem.message, file, problem.row, problem.image_id, problem.uri)


def _refuse(found: Sequence[Problem], settings: Settings) -> int:
    _report(found, settings)
    print("refused, as strict is set: no manifest was written", flush=True)
    return 1


def _report(found: Sequence[Problem], settings: Settings) -> None:
    """Write the problems under errors/, in place of the last run's, and print how many there are of each kind."""
    folder = storage.join(settings.output, "errors", "stage=prepare", f"dataset={settings.data.dataset}")
    uri = storage.join(folder, "errors.parquet")
    if not found:
        storage.delete(uri)
        print("  no problems", flush=True)
        return
    storage.write_table(uri, problems.to_table(found))
    print(f"  {len(found):,} problems, all of them in {uri}:", flush=True)
    for kind, count in Counter(problem.kind for problem in found).most_common():
        print(f"  {count:7,} {kind}: {problems.KINDS.get(kind, '')}", flush=True)
        for problem in [problem for problem in found if problem.kind == kind][:SHOWN]:
            print(f"            {problem}", flush=True)


def _counts(found: Sequence[Problem]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in Counter(problem.kind for problem in found).most_common())


def _print_splits(listing: Listing, source: str | None) -> None:
    if source is None:
        print("  no splits", flush=True)
        return
    says = {"file": "a published file", "column": f"column {listing.split_column!r}", "own": "our own recipe"}
    print(f"splits from {says[source]} (KS: Kolmogorov-Smirnov distance to all photos):", flush=True)
    print(alikeness.as_text(alikeness.summarise(listing.rows)), flush=True)
