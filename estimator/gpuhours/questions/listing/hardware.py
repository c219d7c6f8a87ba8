"""The list of hardware profiles, and all facts about one, for ``gpuhours hardware``."""

from __future__ import annotations

from typing import Any

from gpuhours.cost.prices import Price, PriceRow, choose_price, price_rows
from gpuhours.hardware.accelerators import Accelerator, list_accelerators, load_accelerator
from gpuhours.hardware.nodes import Node, list_nodes, load_node
from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.profile_folders import LONGEST_NAME, Unknown, informally_named, is_path, plain_name, suggestion
from gpuhours.inputs.records import dataclass
from gpuhours.inputs.yaml_files import read_yaml
from gpuhours.questions.envelope import envelope


@dataclass(frozen=True)
class Catalogue:
    """Every accelerator and node."""

    accelerators: tuple[Accelerator, ...]
    nodes: tuple[Node, ...]

    def to_dict(self) -> dict[str, Any]:
        """All profiles as JSON."""
        content = {
            "accelerators": [accelerator.to_dict() for accelerator in self.accelerators],
            "nodes": [node.to_dict() for node in self.nodes],
        }
        return envelope("hardware", content)


BY_ACCELERATOR = Unknown("a node is priced by its accelerators")


@dataclass(frozen=True)
class HardwareSheet:
    """One profile, and for an accelerator its rental prices."""

    hardware: Accelerator | Node
    prices: tuple[PriceRow, ...] = ()
    price: Price | Unknown = BY_ACCELERATOR

    def to_dict(self) -> dict[str, Any]:
        """The profile as JSON, with the price that an estimate would use."""
        price = None if isinstance(self.price, Unknown) else self.price.to_dict()
        prices = [row.to_dict() for row in self.prices]
        return envelope("hardware", {**self.hardware.to_dict(), "price": price, "prices": prices})


def catalogue() -> Catalogue:
    """Read every profile: ours and those in the user's folders."""
    return Catalogue(
        tuple(load_accelerator(name) for name in list_accelerators()),
        tuple(load_node(name) for name in list_nodes()),
    )


def sheet(name: str) -> HardwareSheet:
    """All facts about the accelerator or node of this name, or of a YAML file."""
    plain = plain_name(name)
    profile: Accelerator | Node
    if is_path(name):
        data = read_yaml(name).data
        profile = load_accelerator(name) if isinstance(data, dict) and "peak" in data else load_node(name)
    elif plain in list_nodes():
        profile = load_node(plain)
    elif informally_named("accelerators", name):
        profile = load_accelerator(name)
    elif informally_named("nodes", name):
        profile = load_node(name)
    else:
        hint = suggestion(plain, [*list_accelerators(), *list_nodes()])
        raise EstimateError("No such profile.", hint, f"hardware = {name[:LONGEST_NAME]!r}")
    if isinstance(profile, Node):
        if not profile.instance:
            return HardwareSheet(profile)
        rows = tuple(
            row for row in price_rows(profile.accelerator) if plain_name(row.offering) == plain_name(profile.instance)
        )
        return HardwareSheet(
            profile, rows, choose_price(profile.accelerator, profile.provider, instance=profile.instance)
        )
    return HardwareSheet(profile, price_rows(profile.name), choose_price(profile.name))
