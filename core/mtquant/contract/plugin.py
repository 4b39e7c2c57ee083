"""What every plugin is: a named class with validated settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import UnionType
from typing import Any, ClassVar, Generic, Self, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from mtquant.errors import ConfigError


class Settings(BaseModel):
    """Base of every plugin's settings: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, table: Mapping[str, Any], where: str) -> Self:
        """Validate ``table``, which stands at ``where``.

        Raises ConfigError, which names the key, the value, what is wrong and what would be right.
        """
        try:
            return cls.model_validate(dict(table))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            joint = "." if first["loc"] and where and not where.endswith(" ") else ""
            path = where + joint + ".".join(str(part) for part in first["loc"])
            if first["type"] == "extra_forbidden":
                known = ", ".join(sorted(_fields(cls, first["loc"][:-1]))) or "none"
                raise ConfigError(path, "no such setting", f"Known here: {known}.") from None
            if first["type"] == "missing":
                raise ConfigError(path, "is missing", "Add it.") from None
            value = first["input"]
            shown = str(value) if isinstance(value, Decimal) else repr(value)
            problem = f"{shown}: {first['msg'].removeprefix('Value error, ')}"
            raise ConfigError(path, problem, "Correct the value.") from None


S = TypeVar("S", bound=Settings)


class Plugin(Generic[S]):
    """A named thing with validated settings: ``class SmaCross(Strategy[SmaCrossSettings])``."""

    name: ClassVar[str]
    Settings: ClassVar[type[Settings]] = Settings

    def __init__(self, settings: S) -> None:
        self.settings = settings

    def __init_subclass__(cls, **kwargs: Any) -> None:  # noqa: ANN401 - handed through
        """Take the settings class from the generic argument."""
        super().__init_subclass__(**kwargs)
        for base in getattr(cls, "__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, Settings):
                    cls.Settings = argument


def _fields(model: Any, at: tuple[int | str, ...]) -> Iterable[str]:  # noqa: ANN401 - an annotation
    """Return the settings that the model at ``at``, inside ``model``, knows."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        if not at:
            return model.model_fields
        field = model.model_fields.get(str(at[0]))
        return _fields(field.annotation, at[1:]) if field else ()
    for inner in get_args(model):
        # A mapping's or tuple's annotation: the key or index is a part of the path of its own.
        rest = at[1:] if get_origin(model) not in {Union, UnionType} else at
        if found := _fields(inner, rest):
            return found
    return ()
