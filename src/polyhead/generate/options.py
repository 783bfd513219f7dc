"""Options a user sets: frozen, checked, and refused with the field's name, what was expected and what came."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import ConfigError


class Options(BaseModel):
    """A pydantic model whose constructor raises ConfigError; strict: "5" is no number, true no count."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(map(str, first["loc"]))
            raise ConfigError(
                f"{name or type(self).__name__} is not possible",
                expected=first["msg"].removeprefix("Input should be ").removeprefix("Value error, "),
                received=repr(first["input"])[:100],
            ) from None
