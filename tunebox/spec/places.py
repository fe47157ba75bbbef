"""Paths of the settings in a search file, to say where a misplaced key belongs."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import get_args, get_origin

from pydantic import BaseModel

from tunebox.losses.settings import LossesSettings, TermSettings
from tunebox.parts.part import Part
from tunebox.spec.search_settings import SearchSettings
from tunebox.spec.trial_config import TrialConfig


def places_of(key: str) -> list[str]:
    """Return the paths of the settings called ``key``, such as ``training/batch_size``."""
    groups: list[tuple[str, type[BaseModel]]] = [("", TrialConfig), ("search", SearchSettings)]
    paths = [path for where, group in groups for path in _paths(group, where)]
    return sorted({path for path in paths if path.rpartition("/")[2] == key})


def _paths(group: type[BaseModel], where: str) -> Iterator[str]:
    if issubclass(group, Part) and "group" in vars(group):
        for part in group.kinds().values():
            yield from _paths(part, where)
        return
    for name, field in group.model_fields.items():
        path = f"{where}/{name}".lstrip("/")
        yield path
        # the members of a list have no path
        members = () if get_origin(field.annotation) is list else get_args(field.annotation)
        for member in (field.annotation, *members):
            if inspect.isclass(member) and issubclass(member, BaseModel):
                yield from _paths(member, path)
    if group is LossesSettings:
        for name, term in TermSettings.kinds().items():
            yield f"{where}/{name}"
            yield from _paths(term, f"{where}/{name}")
