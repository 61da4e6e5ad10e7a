"""What all groups of settings have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings: read-only, and an unknown name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
