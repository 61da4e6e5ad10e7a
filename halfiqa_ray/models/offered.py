"""Models that installed packages offer by entry points. Light: the names alone are for lists and messages."""

from __future__ import annotations

from importlib import metadata

GROUP = "halfiqa_ray.models"


def offered() -> dict[str, str]:
    """Every name, with its package and version. Nothing is imported."""
    return {
        point.name: f"{point.dist.name} {point.dist.version}" if point.dist else "unknown package"
        for point in metadata.entry_points(group=GROUP)
    }
