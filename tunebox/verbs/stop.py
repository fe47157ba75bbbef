"""``tunebox stop``: stop a search on this machine, as Ctrl-C does."""

import os
import signal
import socket
import time

from tunebox.errors import RecordsError
from tunebox.records.lock import holding_process
from tunebox.records.search_folder import SearchFolder

_PAUSE = 0.2  # seconds


def stop_search(folder: SearchFolder) -> None:
    """Ask the process that runs the search to stop cleanly, and wait until it has ended.

    Raises:
        RecordsError: The search does not run, runs on another host, or belongs to another user.
    """
    running = holding_process(folder.lock)
    if running is None:
        raise RecordsError(f"{folder.name} does not run: nothing to stop")
    host, pid = running
    if host != socket.gethostname():
        raise RecordsError(f"{folder.name} runs on host {host}; type the same command there")
    try:
        os.kill(pid, signal.SIGINT)
    except ProcessLookupError:
        return  # it has just ended
    except PermissionError as error:
        raise RecordsError(
            f"{folder.name} is run by process {pid} of another user, who has to stop it"
        ) from error
    while holding_process(folder.lock) == running:
        time.sleep(_PAUSE)
