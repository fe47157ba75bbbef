"""One trial in Ray Tune: an epoch per step, on an actor that is reused."""

from __future__ import annotations

import functools
import socket
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from tunebox.engine.nodes.probes import storage_error
from tunebox.engine.ray.process_memory import peak_memory
from tunebox.engine.worker import TrialTask, TrialWorker
from tunebox.errors import DataError, NodeError

if TYPE_CHECKING:
    from tunebox.data.settings import DataSettings
    from tunebox.engine.nodes.shared_folder import MarkedFolder


class TrialTrainable(tune.Trainable):  # type: ignore[misc]
    """Trains one trial; Ray calls ``step`` until the scheduler says stop.

    A result is that of `TrialWorker.step`, with the bytes that the process has taken as
    ``peak_memory``. It never says ``done``: Ray would not show it to the scheduler. On a node that
    lacks the search's folder or its data the result is ``{"unfit": reason, "node_id": ..}``, and
    the next step raises, so that the trial starts again on another node.
    """

    _mark: MarkedFolder | None
    _unfit: NodeError | None

    def setup(self, config: dict[str, Any]) -> None:
        """Prepare the trial of a config from `TuneSearcher.suggest`."""
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Switch to another trial; images and the CUDA context are kept."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train and evaluate one epoch."""
        if self._unfit is not None:
            raise self._unfit
        if self._mark is not None:  # the driver may be on another node
            try:
                _check_node(self._mark, self._worker.trial_config.data)
            except NodeError as error:
                self._unfit = error
                node_id = ray.get_runtime_context().get_node_id()
                return {"unfit": str(error), "node_id": node_id}
            self._mark = None
        return {**self._worker.step(), "peak_memory": peak_memory()}

    def _begin(self, config: dict[str, Any]) -> None:
        resources = self.trial_resources.required_resources
        self._worker = TrialWorker(
            TrialTask(**config["task"]),
            num_threads=max(1, int(resources.get("CPU", 1))),
            use_gpu=resources.get("GPU", 0) > 0,
        )
        self._mark = config.get("mark")  # the scheduler's
        self._unfit = None  # why trials cannot run on this node


@functools.cache
def _check_node(mark: MarkedFolder, data: DataSettings | None) -> None:
    """Raise NodeError if this node, which may have joined a moment ago, cannot run the search."""
    from tunebox.data.settings import prepare_data

    trouble = storage_error(mark.folder, mark.token)
    if trouble is not None:
        trouble = f"it does not share the folder of the search: {trouble}"
    elif data is not None:
        try:
            prepare_data(data)
        except DataError as error:
            trouble = str(error)
    if trouble is not None:
        raise NodeError(f"node {socket.gethostname()} is skipped: {trouble}")
