"""The base of everything that a person can write in a search file."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

# Upper bounds that no sane setting reaches: a slip is refused, instead of filling the memory.
MOST_IMAGES = 2**30
MOST_PIXELS = 2**14  # of a side of an image

Seed = Annotated[int, Field(ge=0, lt=2**63)]


@dataclass(frozen=True)
class Usual:
    """Marks a setting whose larger values are allowed, but likely a slip.

    Attributes:
        most: The largest value without a warning.
        reason: What happens above it, as the end of a sentence.
    """

    most: float
    reason: str


class Settings(BaseModel):
    """A frozen group of settings that refuses unknown keys, wrong types and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _keys_are_known(cls, values: Any) -> Any:
        """Refuse an unknown key with those that are allowed, which pydantic does not say."""
        if isinstance(values, Mapping) and cls.model_config["extra"] == "forbid":
            for key in values:
                if key not in cls.model_fields:
                    known = {"key": str(key), "allowed": list(cls.model_fields)}
                    raise PydanticCustomError("unknown_key", "unknown key {key}", known)
        return values
