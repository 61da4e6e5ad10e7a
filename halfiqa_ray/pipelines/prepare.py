"""The prepare job: a data set's lists and photos into a manifest, each row checked, each photo in its split."""

from __future__ import annotations

from halfiqa_ray import schema, storage
from halfiqa_ray.config import Settings
from halfiqa_ray.data import alikeness, manifest, problems
from halfiqa_ray.data.draft import Draft
from halfiqa_ray.data.problems import DataError


def run(settings: Settings) -> int:
    """Make the manifest that ``settings.data`` describes under ``settings.output``; returns the exit code.

    0: made, or nothing has changed. 1: refused, because ``settings.strict`` is set and there are problems; the
    manifest is then as it was. Raises DataError when the data set cannot be read at all.
    """
    data = settings.data
    print(f"prepare {data.dataset}: layout {data.layout}, photos in {data.root}", flush=True)
    draft = Draft.read(settings)
    if _is_made(draft):
        return 0
    _print_notes(draft.listing.notes)
    if not draft.rows:
        _report(draft)
        raise DataError(
            f"none of the photos can be used ({problems.counts(draft.problems) or 'there are none'}): is data.root = "
            f"{data.root} right?"
        )
    if settings.strict and draft.problems:
        return _refuse(draft)
    return _make(draft)


def prepare_folder(settings: Settings) -> int:
    """`run` where the photos are a plain folder and the manifest, if there is one, is of such; else 0.

    So that a job on own photos needs no other job before it.
    """
    uri = manifest.uri(settings.output, settings.data.dataset)
    given = storage.exists(uri) and schema.metadata(storage.read_schema(uri)).get("layout") != "folder"
    return 0 if settings.data.layout != "folder" or given else run(settings)


def _make(draft: Draft) -> int:
    # Below here photos may be decoded and files are written: worth the seconds that importing torch and Ray takes.
    from halfiqa_ray.runtime.record import RunRecord

    settings = draft.settings
    uri = manifest.uri(settings.output, settings.data.dataset)
    with RunRecord.of(settings, "prepare", draft.inputs) as record:
        draft.name_source_photos()
        if draft.splitting.drawn:
            from halfiqa_ray.pipelines.spatial_information import measure

            folder = storage.join(manifest.folder(settings.output, settings.data.dataset), "_spatial_information")
            with record.timed("spatial_information"):
                draft.leave_out(measure(draft.rows, settings, folder))
        draft.assign_splits()
        _print_notes(draft.notes)
        out, failed = len(draft.rows), len(draft.problems)
        record.note(counts={"in": out + failed, "out": out, "failed": failed})
        if settings.strict and draft.problems:
            return _refuse(draft)
        _report(draft)
        if not draft.rows:
            raise DataError(f"none of the photos can be read ({problems.counts(draft.problems)})")
        record.note(split_hash=draft.split_hash)
        _print_splits(draft)
        storage.write_table(uri, draft.table())
    print(f"manifest: {out:,} photos, split hash {draft.split_hash[:12]}, in {uri}", flush=True)
    return 0


def _is_made(draft: Draft) -> bool:
    """Whether the manifest of exactly these inputs is there already; says so."""
    output, dataset = draft.settings.output, draft.settings.data.dataset
    uri = manifest.uri(output, dataset)
    if not storage.exists(uri):
        return False
    made = schema.metadata(storage.read_schema(uri))
    if made.get("inputs") != draft.inputs or made.get("retry") or (draft.settings.strict and made.get("problems")):
        return False
    rows = manifest.read_manifest(output, dataset).num_rows
    print(
        f"nothing has changed since the manifest was made: {rows:,} photos, {made['problems']:,} problems, "
        f"split hash {made['split_hash'][:12]}, in {uri}",
        flush=True,
    )
    return True


def _refuse(draft: Draft) -> int:
    _report(draft)
    print("refused, as strict is set: no manifest was written", flush=True)
    return 1


def _report(draft: Draft) -> None:
    """Write the problems under errors/, in place of the last run's, and print how many there are of each kind."""
    folder = storage.join(draft.settings.output, "errors", "stage=prepare", f"dataset={draft.settings.data.dataset}")
    uri = storage.join(folder, "errors.parquet")
    if not draft.problems:
        storage.delete(uri)
        print("  no problems", flush=True)
        return
    storage.write_table(uri, problems.to_table(draft.problems))
    print(f"  {len(draft.problems):,} problems, all of them in {uri}:", flush=True)
    print("\n".join(problems.told(draft.problems)), flush=True)


def _print_notes(notes: list[str]) -> None:
    for note in notes:
        print(f"  {note}", flush=True)


def _print_splits(draft: Draft) -> None:
    if draft.splitting.source is None:
        print("  no splits", flush=True)
        return
    print(f"splits from {draft.splitting.described} (KS: Kolmogorov-Smirnov distance to all photos):", flush=True)
    print(alikeness.as_text(alikeness.summarise(draft.rows)), flush=True)
