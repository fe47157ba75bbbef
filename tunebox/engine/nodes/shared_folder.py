"""Check that nodes share a folder with the driver, by a random token in it."""

import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tunebox.engine.nodes import probes
from tunebox.engine.nodes.nodes import Node, run_on_nodes


@dataclass(frozen=True)
class MarkedFolder:
    """A folder and the random token in it, as `tunebox.engine.nodes.probes.storage_error` expects.

    A node that finds the token at the same path sees the driver's folder.
    """

    folder: str
    token: str

    def is_written_by(self, node_id: str) -> bool:
        """Return whether the node has written into this folder, and not into one of its own."""
        try:
            return (Path(self.folder) / node_id).read_text() == self.token
        except OSError:
            return False


@contextmanager
def marked_folder(path: Path) -> Iterator[MarkedFolder]:
    """Make the folder ``path`` with a new random token, and remove it at the end.

    Raises:
        OSError: The folder cannot be made or written.
    """
    path = path.absolute()
    path.mkdir(parents=True, exist_ok=True)
    try:
        token = secrets.token_hex(16)
        (path / "token").write_text(token)
        yield MarkedFolder(str(path), token)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def storage_errors(nodes: Sequence[Node], out: Path, timeout: float) -> dict[Node, str]:
    """Return the nodes that do not share ``out`` with this process, and why.

    Args:
        nodes: Nodes to check.
        out: Output folder; made when absent.
        timeout: Seconds to wait for a node.

    Raises:
        OSError: This process cannot write into ``out``.
    """
    with marked_folder(out / f".nodes-{secrets.token_hex(4)}") as mark:
        results = run_on_nodes(
            nodes, probes.storage_error, mark.folder, mark.token, timeout=timeout
        )
        errors = {}
        for result in results:
            error = result.error or result.value
            if error is None and not mark.is_written_by(result.node.node_id):
                error = "what it writes does not arrive"
            if error is not None:
                errors[result.node] = error
    return errors
