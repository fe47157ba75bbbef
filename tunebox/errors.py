"""What tunebox raises for things a person can put right."""


class TuneboxError(ValueError):
    """A user's mistake, told in one line that says what to do.

    The command line prints the line and ends with exit code 2.
    """


class SearchFileError(TuneboxError):
    """A search file that cannot be run: names the file, the line, the path and the value."""


class DataError(TuneboxError):
    """A data set that is not where the search file says, or that cannot be read."""


class RecordsError(TuneboxError):
    """A search, a trial or an exported model that is not there or cannot be read."""


class ClusterError(TuneboxError):
    """A Ray cluster that cannot be joined or is too small for what a trial asks."""


class NodeError(TuneboxError):
    """A node that cannot run the trials of a search, though others may."""


class NoResultError(Exception):
    """A search on a cluster has no result to show: it goes on without us, or was killed.

    The command line prints the lines and ends with the exit code.
    """

    def __init__(self, exit_code: int, lines: str) -> None:
        super().__init__(lines)
        self.exit_code = exit_code


def first_line(error: BaseException) -> str:
    """Return the first line of what ``error`` says, its class where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def describe_os_error(error: OSError) -> str:
    """Return one line: the file, as far as it is known, and what is wrong with it."""
    what = error.strerror or str(error) or type(error).__name__
    return what if error.filename is None else f"{error.filename}: {what}"
