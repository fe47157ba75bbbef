"""What tunebox raises for things a person can put right, and the exit codes of the commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

from pydantic import ValidationError

from tunebox.text import printable

EXIT_TROUBLE = 1  # the search could not go on, or found nothing; a model lacks its weights
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
_LONGEST = 500  # characters of a reason


class TuneboxError(ValueError):
    """A user's mistake, shown in one line that says what to do.

    The command line prints the line and ends with exit code 2. The line may quote a file of
    somebody else: what would control a terminal is spelled out.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class SearchFileError(TuneboxError):
    """A search file that cannot be run: names the file, the line, the path and the value."""


class OptionError(SearchFileError):
    """An option of a search with a wrong value; the command line spells its name as it is typed.

    Attributes:
        name: Name of the option in Python.
        message: What is wrong with its value.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}{message}")
        self.name = name
        self.message = message


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


@contextmanager
def reading(
    file: Path | str,
    kind: type[TuneboxError] = RecordsError,
    *,
    problem: str = "cannot be read",
    advice: str = "",
) -> Iterator[None]:
    """Turn whatever goes wrong in the block, which reads ``file``, into one line that names it.

    For files that somebody else may have written, or damaged. They can be wrong in more ways than
    a parser's documentation lists, so that any exception is expected. The block parses and checks,
    and does nothing else: its exceptions are about the file.

    Args:
        file: What is read.
        kind: Class of the error.
        problem: What is said about the file, before the reason.
        advice: What to do about it, after the reason; empty says nothing.

    Raises:
        TuneboxError: One of ``kind``; an error that names the file already stays as it is.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, TuneboxError) and printable(str(file)) in str(error):
            raise
        reason = describe_error(error)
        raise kind(f"{file} {problem}: {reason}{advice and '; '}{advice}") from error


def describe_error(error: Exception) -> str:
    """Return one line of at most some hundred characters on what is wrong."""
    if isinstance(error, OSError):
        reason = error.strerror or first_line(error)
    elif isinstance(error, RecursionError):
        reason = "it is nested too deep"
    elif isinstance(error, MemoryError):
        reason = "it needs more memory than there is"
    elif isinstance(error, UnpicklingError):  # PyTorch's words advise to trust the file
        reason = "it holds more than tensors and plain values, or is damaged"
    elif isinstance(error, ValidationError):
        first = error.errors(include_input=False)[0]
        reason = ": ".join(["/".join(map(str, first["loc"])), first["msg"]]).removeprefix(": ")
    elif type(error) is KeyError and len(error.args) == 1:
        reason = f"it has no {error.args[0]!r}"
    else:
        reason = first_line(error)
    return reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}.."


def first_line(error: BaseException) -> str:
    """Return the first line of what ``error`` says, its class where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def describe_os_error(error: OSError) -> str:
    """Return one line: the file, as far as it is known, and what is wrong with it."""
    what = error.strerror or str(error) or type(error).__name__
    return what if error.filename is None else f"{error.filename}: {what}"
