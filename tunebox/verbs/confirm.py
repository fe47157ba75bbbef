"""``tunebox confirm``: train the front of a search and its near misses again, with new seeds."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from typing_extensions import Unpack

from tunebox.decisions.events import Event, MakeObserver
from tunebox.errors import OptionError, RecordsError
from tunebox.records.confirm_plan import read_plan
from tunebox.records.lock import locked
from tunebox.spec.confirm_settings import ConfirmOptions, ConfirmSettings, confirm_options
from tunebox.spec.search_options import check_names
from tunebox.verbs.confirmation import (
    Confirmation,
    ConfirmResult,
    folder_of_retrainings,
    opened,
    rewrite_report,
)
from tunebox.verbs.results import find_search
from tunebox.verbs.running import Callbacks


def confirm(
    name: str,
    *,
    out: str | Path | None = None,
    tracking_uri: str | None = None,
    on_event: Callable[[Event], None] | None = None,
    note: Callable[[str], None] | None = None,
    display: MakeObserver | None = None,
    **options: Unpack[ConfirmOptions],
) -> ConfirmResult:
    """Retrain the best trials of the search ``name`` with new seeds, and compare them.

    The retrainings are the trials of a search ``<name>-confirm``. Each is measured on the
    validation set like any trial, and at its end on the test set. The next trial to retrain and
    the front are chosen by the validation set alone. Call the function again to continue a
    confirmation that was killed, or with more ``seeds`` or ``budget`` to extend one that has ended.

    Args:
        name: Name of a search that has ended.
        out: Output folder of all searches.
        tracking_uri: Address of MLflow, as in `tunebox.search`.
        on_event: Called with every event of the retrainings, as in `tunebox.search`.
        note: Called with messages for the user.
        display: As in `tunebox.search`.
        options: `ConfirmSettings` (``seeds``, ``budget``, ``layers``, ``pick``), and those settings
            of the search that determine where trials run; None or absent: as in the last call.

    Raises:
        TuneboxError: A mistake that the user can correct; nothing has been trained.
    """
    check_names(options, [option.name for option in confirm_options()], "a confirmation")
    given = {key: value for key, value in options.items() if value not in (None, [])}
    callbacks = Callbacks(on_event, note)
    searched = find_search(name, out)
    if read_plan(searched) is not None:
        raise RecordsError(f"{name} is a confirmation itself; confirm the search that it repeats")
    folder = folder_of_retrainings(searched)
    with locked(searched.lock, callbacks.note), opened(folder, name, callbacks) as before:
        settings = _settings(given, before.options)
        run = Confirmation(searched, folder, before, settings, given)
        result = run.run(tracking_uri, callbacks, display)
    rewrite_report(name, out, callbacks)
    return result


def _settings(given: Mapping[str, Any], before: Mapping[str, Any]) -> ConfirmSettings:
    own = {key: value for key, value in given.items() if key in ConfirmSettings.model_fields}
    try:
        return ConfirmSettings.model_validate({**before, **own})
    except ValidationError as error:
        first = error.errors()[0]
        where = str(first["loc"][0])
        message = f"{first['msg'][0].lower()}{first['msg'][1:]}"
        raise OptionError(where, f": got {first['input']!r}; {message}") from error
