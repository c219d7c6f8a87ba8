"""Frozen dataclasses that are fast to define. The standard library generates and compiles up to six methods per class, and an estimate
uses eighty classes. Here only ``__init__`` is generated, on first use; comparison, hash, repr and immutability are shared functions.

    from gpuhours.inputs.records import dataclass

    @dataclass(frozen=True)
    class Message: ...

``dataclasses.replace``, ``fields`` and ``asdict`` accept them like any other dataclass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    import dataclasses
    from collections.abc import Callable
    from operator import attrgetter
    from typing import Any

    def dataclass(
        cls: type | None = None,
        /,
        *,
        frozen: bool = False,
        eq: bool = True,
        repr: bool = True,  # noqa: A002
    ) -> type | Callable[[type], type]:
        """Replacement for ``dataclasses.dataclass``, with the options that this project uses."""
        if cls is None:
            return lambda made: dataclass(made, frozen=frozen, eq=eq, repr=repr)
        if not frozen:
            return dataclasses.dataclass(cls, eq=eq, repr=repr)
        shown = {"__repr__": _repr} if repr else {}
        compared = {"__eq__": _eq, "__hash__": _hash} if eq else {}
        own = {name: shared for name, shared in {**shown, **compared}.items() if name not in vars(cls)}
        made = dataclasses.dataclass(cls, init=False, eq=False, repr=False)
        every = dataclasses.fields(made)
        made._shown = tuple(one.name for one in every if one.repr)
        made._compared = attrgetter(*(one.name for one in every if one.compare))
        for name, shared in {**own, "__setattr__": _refused, "__delattr__": _refused}.items():
            setattr(made, name, shared)
        made.__init__ = _Unwritten(made, every)
        return made

    class _Unwritten:
        """Placeholder for the ``__init__`` of a record, which generates it on first access."""

        def __init__(self, cls: type, every: tuple[dataclasses.Field[Any], ...]) -> None:
            self.cls, self.every = cls, every

        def __get__(self, one: Any, owner: type) -> Any:
            written = _init(self.cls, self.every)
            self.cls.__init__ = written
            return written if one is None else written.__get__(one)

    def _init(cls: type, every: tuple[dataclasses.Field[Any], ...]) -> Callable[..., None]:
        """Generate ``__init__`` with a parameter for every field, in the order of the fields."""
        outside: dict[str, Any] = {"_set": object.__setattr__, "_unset": dataclasses.MISSING}
        parameters, lines = ["self"], []
        for one in every:
            name, value, default = one.name, one.name, f"_default_{one.name}"
            if one.default_factory is not dataclasses.MISSING:
                outside[default] = one.default_factory
                value = f"{default}() if {name} is _unset else {name}" if one.init else f"{default}()"
                parameter = f"{name}=_unset"
            elif one.default is not dataclasses.MISSING:
                outside[default] = one.default
                parameter = f"{name}={default}"
            else:
                parameter = name
            if one.init:
                parameters.append(parameter)
            if one.init or one.default_factory is not dataclasses.MISSING:
                lines.append(f" _set(self, {name!r}, {value})")
        if hasattr(cls, "__post_init__"):
            lines.append(" self.__post_init__()")
        made: dict[str, Any] = {}
        exec("\n".join([f"def __init__({', '.join(parameters)}):", *lines, " pass"]), outside, made)
        made["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"
        made["__init__"].__annotations__ = {one.name: one.type for one in every if one.init}
        return made["__init__"]

    def _eq(self: Any, other: Any) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self._compared(self) == self._compared(other)

    def _hash(self: Any) -> int:
        return hash(self._compared(self))

    def _repr(self: Any) -> str:
        held = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._shown)
        return f"{self.__class__.__qualname__}({held})"

    def _refused(self: Any, name: str, *value: Any) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot {'assign to' if value else 'delete'} field {name!r}")
