"""A union of models that are imported on first use, since most runs need only one of nine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Annotated, Any, Union

from pydantic import BaseModel, Discriminator, GetCoreSchemaHandler, GetJsonSchemaHandler, Tag, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from gpuhours.inputs.records import dataclass


@dataclass(frozen=True, eq=False)
class ByKind:
    """Annotation that acts as the union of the models at ``homes`` (kind -> ``module:Class``).

    ``kind`` returns the kind of a value. Tags are in brackets so that error messages can leave them out.
    """

    homes: Mapping[str, str]
    kind: Callable[[Any], str]

    def member(self, kind: str) -> type[BaseModel]:
        """The model of one kind."""
        module, name = self.homes[kind].split(":")
        model: type[BaseModel] = getattr(import_module(module), name)
        return model

    def union(self) -> Any:
        """The equivalent pydantic union, with every member imported: for schemas and suggestions."""
        members = tuple(Annotated[self.member(kind), Tag(f"[{kind}]")] for kind in self.homes)
        return Annotated[Union[members], Discriminator(self._tag)]  # noqa: UP007

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices: dict[Any, Mapping[str, Any]] = {
            f"[{kind}]": core_schema.no_info_plain_validator_function(partial(self._validated, kind))
            for kind in self.homes
        }
        return core_schema.tagged_union_schema(choices, self._tag)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(TypeAdapter(self.union()).core_schema)

    def _tag(self, value: Any) -> str:
        return f"[{self.kind(value)}]"

    def _validated(self, kind: str, value: Any) -> BaseModel:
        return self.member(kind).model_validate(value)
