"""What is true of a whole file, as JSON in its Arrow schema."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

METADATA_KEY = b"halfiqa_ray"


def with_metadata(schema: pa.Schema, metadata: dict[str, Any]) -> pa.Schema:
    """The schema with ``metadata`` attached as JSON."""
    return schema.with_metadata({METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()})


def metadata(schema: pa.Schema) -> dict[str, Any]:
    """The metadata that ``with_metadata`` attached; {} when there is none."""
    return dict(json.loads((schema.metadata or {}).get(METADATA_KEY, b"{}")))


def made_for(stored: dict[str, Any], rank_run: str, ranked: dict[str, Any]) -> bool:
    """Whether rows with the metadata ``stored`` belong to a rank run, of so many characters of a key and ``ranked``.

    Those that name a rank run (``rank_key``) belong to it, others to all runs over the same blocks of photos brought to
    size in the same way.
    """
    if "rank_key" in stored:
        return str(stored["rank_key"])[: len(rank_run)] == rank_run
    same = ["grid", "native", "portrait"]
    if "measures" in stored and "size" in ranked:
        same.append("size")  # measures are taken of the very pixels that were ranked; each model explains its own
    return all(stored.get(name) == ranked.get(name) for name in same)
