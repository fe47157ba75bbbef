"""What ``tunebox spaces check`` says about the data of a search file."""

from rich.console import Console

from tunebox.cli.file_bar import file_bar
from tunebox.cli.terminal import printer
from tunebox.data.settings import DataSettings
from tunebox.errors import DataError
from tunebox.verbs.data_check import note_inspection


def check_data(console: Console, data: DataSettings | None, *, reads_all: bool) -> None:
    """Print what is in the data, or a warning if they are not there.

    Args:
        console: Where to print.
        data: Settings of the data; None for a training loop of the user's own.
        reads_all: Whether each image is read, and files that are missing are an error.

    Raises:
        DataError: Data that shall be read are missing or damaged.
    """
    if data is None:
        return
    try:
        data.check()
    except DataError as error:
        if reads_all:
            raise
        console.print(f"warning: {error}", soft_wrap=True)
        return
    if reads_all:
        with file_bar(console) as on_file:
            inspection = data.inspect(on_file)
        note_inspection(inspection, printer(console))
