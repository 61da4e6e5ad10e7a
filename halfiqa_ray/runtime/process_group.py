"""Torch's process group of workers on one machine: they meet in a file, so that no port is open to others.

By default Ray Train lets them meet at a TCP store, which listens on all interfaces and asks for no token.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.train.torch import TorchConfig
from ray.train.torch.config import _set_torch_distributed_env_vars, _setup_torch_process_group, _TorchBackend


@dataclass
class OneMachine(TorchConfig):
    """In place of ``TorchConfig`` where all workers are on one machine."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        """Who sets the group up."""
        return _FileBackend


class _FileBackend(_TorchBackend):
    meeting: Path | None = None

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Set up the group of workers that have just been started."""
        gpus = worker_group.get_resources_per_worker().get("GPU", 0)
        worker_group.execute(_set_torch_distributed_env_vars)
        # A folder for each start: a file of an earlier one must not be met.
        self.meeting = Path(tempfile.mkdtemp(prefix="halfiqa-")) / "group"
        starts = [
            worker_group.execute_single_async(
                rank,
                _setup_torch_process_group,
                backend=backend_config.backend or ("nccl" if gpus else "gloo"),
                world_rank=rank,
                world_size=len(worker_group),
                init_method=f"file://{self.meeting}",  # torch takes it literally: no %20 for a space
                timeout_s=backend_config.timeout_s,
            )
            for rank in range(len(worker_group))
        ]
        ray.get(starts)

    def on_shutdown(self, worker_group: Any, backend_config: Any) -> None:
        """Take the group down, and the folder in which it met."""
        super().on_shutdown(worker_group, backend_config)
        if self.meeting is not None:
            shutil.rmtree(self.meeting.parent, ignore_errors=True)
