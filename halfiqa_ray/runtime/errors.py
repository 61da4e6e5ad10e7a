"""What a job says of the photos that failed."""

from __future__ import annotations

import pyarrow as pa


def report_errors(failed: pa.Table, folder: str, shown: int = 5) -> None:
    """Print how many photos failed, of what, and the first few."""
    if not failed.num_rows:
        print("0 photos failed", flush=True)
        return
    kinds: dict[str, int] = {}
    for kind in failed["error"].to_pylist():
        kinds[kind] = kinds.get(kind, 0) + 1
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    print(f"{failed.num_rows} photos failed ({said}); all of them are in {folder}", flush=True)
    for message in failed["message"].to_pylist()[:shown]:
        print(f"  {message}", flush=True)
