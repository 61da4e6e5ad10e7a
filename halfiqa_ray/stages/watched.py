"""Stage around a stage: a photo that kills the process that works on it becomes an error, and the others go on.

A process cannot say of its own death. So a mark, a file with the image ids, is written before photos are worked on and
removed after. A new process looks which marks are there: of one that died at its photos, which Ray now gives to it; or
of an earlier run that was killed. Those photos are worked on one by one, each under a mark that counts, and one that
was alone when ``TRIES`` processes died is given up. (One by one, not by halves: a death costs more than all of it.)
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from halfiqa_ray import storage
from halfiqa_ray.stages.decode import failed_rows

KILLED = "killed its process"
TRIES = 2  # with the first death, of a whole block, no more than the 3 times that Ray tries a task again


class TooManyKilled(RuntimeError):
    """So many photos killed their process that it is hardly the photos."""


@dataclass(frozen=True)
class Watched:
    """``stage``, with marks in the folder ``marks``; to be made anew in every process.

    Raises TooManyKilled when more than ``most`` photos are given up.
    """

    stage: Callable[[pa.Table], pa.Table]
    marks: str
    most: int

    def __call__(self, rows: pa.Table) -> pa.Table:
        """What the stage makes of the rows, in their order; of a photo that is given up, as of one that failed."""
        ids = rows["image_id"].to_pylist()
        if self._deaths.keys().isdisjoint(ids):
            return self._watched(rows)
        done = pa.concat_tables([self._watched(piece) for piece in self._pieces(rows, ids)])
        if len(ids) > 1:
            _Mark.of(self.marks, ids).remove()  # of a process that died at exactly these
        return done

    @cached_property
    def _deaths(self) -> dict[str, int]:
        """The images of all marks that were there before this process, and how many processes died at each alone."""
        deaths: dict[str, int] = {}
        for facts in _facts(self.marks).values():
            for image_id in facts["image_ids"]:
                alone = facts["deaths"] if len(facts["image_ids"]) == 1 else 0
                deaths[image_id] = max(alone, deaths.get(image_id, 0))
        return deaths

    def _pieces(self, rows: pa.Table, ids: list[str]) -> Iterator[pa.Table]:
        """The suspects each alone, and the others together as far as they stand together."""
        start = 0
        for suspect, some in itertools.groupby(ids, self._deaths.__contains__):
            count = len(list(some))
            yield from (rows.slice(start + i, 1) for i in range(count)) if suspect else [rows.slice(start, count)]
            start += count

    def _watched(self, rows: pa.Table) -> pa.Table:
        ids = rows["image_id"].to_pylist()
        mark, deaths = _Mark.of(self.marks, ids), self._deaths.get(ids[0], 0) if len(ids) == 1 else 0
        if deaths >= TRIES:
            mark.write(deaths, given_up=True)
            self._check_how_many()
            message = (
                f"{rows['uri'][0]}: {deaths} processes ended while they worked on this photo alone: out of memory?"
            )
            return self.stage(failed_rows(rows, KILLED, message))
        mark.write(deaths + 1)
        try:
            result = self.stage(rows)
        except Exception:  # no death
            mark.remove()
            raise
        mark.remove()
        return result

    def _check_how_many(self) -> None:
        killed = sum(bool(facts.get("given_up")) for facts in _facts(self.marks).values())
        if killed > self.most:
            raise TooManyKilled(
                f"{killed} photos ended the process that worked on them, more than the {self.most} of "
                f"compute.killed_photos: it is hardly the photos. Is there enough memory for what compute sets up "
                f"(actors, batch_size)? The marks are in {self.marks}"
            )


def retry(marks: str) -> None:
    """At the start of a job: let each photo that was given up be tried once more, as what was wrong may be mended."""
    for uri, facts in _facts(marks).items():
        if facts.get("given_up"):
            _Mark(uri, facts["image_ids"]).write(TRIES - 1)


def are_suspects(marks: str) -> bool:
    """Whether photos were being worked on when a process ended that nobody stopped."""
    return any(facts["deaths"] > 0 for facts in _facts(marks).values())


def forgive(marks: str) -> None:
    """When a job is stopped: what is being worked on ends with it, and is not to blame."""
    for uri, facts in _facts(marks).items():
        if not facts.get("given_up"):
            _Mark(uri, facts["image_ids"]).write(max(0, facts["deaths"] - 1))


def forget(marks: str, unfinished: Set[str]) -> bool:
    """When nothing is worked on any more: remove the marks, but of ``unfinished`` photos that were given up.

    Those are set so that the next run tries each once more. Returns whether there are any.
    """
    given_up = False
    for uri, facts in _facts(marks).items():
        if facts.get("given_up") and unfinished >= set(facts["image_ids"]):
            given_up = True
            _Mark(uri, facts["image_ids"]).write(TRIES - 1)
        else:
            storage.delete(uri)
    if not given_up:
        storage.delete_folder(marks)
    return given_up


@dataclass(frozen=True)
class _Mark:
    """The file that says which photos are worked on, named after them whatever their order."""

    uri: str
    image_ids: list[str]

    @classmethod
    def of(cls, marks: str, image_ids: list[str]) -> _Mark:
        name = hashlib.sha256("\n".join(sorted(image_ids)).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return cls(storage.join(marks, f"{name}.json"), image_ids)

    def write(self, deaths: int, **facts: Any) -> None:
        """What is to be known if this process ends here: with it so many have ended at these photos."""
        storage.write_json(self.uri, {"deaths": deaths, "image_ids": self.image_ids, **facts})

    def remove(self) -> None:
        storage.delete(self.uri)


def _facts(marks: str) -> dict[str, dict[str, Any]]:
    """What all marks say, by their URI; of those that are not removed in between."""
    found = {}
    for uri in storage.list_files(marks, ".json", settled=False):  # marks come and go all the time
        try:
            found[uri] = storage.read_json(uri)
        except FileNotFoundError:
            continue
    return found
