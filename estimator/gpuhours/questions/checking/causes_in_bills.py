"""Known mistakes in energy, carbon, prices and costs."""

from __future__ import annotations

from collections.abc import Iterator

from gpuhours.inputs.durations import DAY
from gpuhours.questions.checking.claim import Document
from gpuhours.questions.checking.mistake import Mistake, one
from gpuhours.questions.checking.setting import Setting


def rates_for_totals(document: Document) -> Iterator[Mistake]:
    """Yield amounts of one day or one GPU that are given as those of the whole run."""
    gpus, time = document.claim("gpus"), document.claim("wall_clock")
    if time is not None and time.value > 1.5 * DAY:
        days = time.value / DAY
        yield from one("hours of one day", "gpu_hours node_hours energy carbon cost", 1 / days, 0.5,
                        f"the figure is for one day; the run took {days:.3g}")  # fmt: skip
    if gpus is not None and gpus.value > 1:
        for quantity, prior in (("cost", 0.9), ("energy", 0.2), ("carbon", 0.2)):
            text = f"the figure is for one GPU; there were {gpus.value:g}"
            yield from one(f"{quantity} of one GPU", quantity, 1 / gpus.value, prior, text)


def of_the_bill(run: Setting, document: Document) -> Iterator[Mistake]:
    """Yield mistakes in energy, carbon, prices and costs."""
    yield from _rated_power(run, document)
    yield from _losses(document)
    yield from one(
        "whole node in the energy", "energy", 1.3, 0.6, "the energy includes hosts, network and storage", 2.2
    )
    yield from one("kWh for MWh", "energy", 1000.0, 0.5, "kWh and MWh are mixed up")
    yield from one("MWh for kWh", "energy", 0.001, 0.5, "kWh and MWh are mixed up")
    yield from one("kilograms for tonnes", "carbon", 1000.0, 0.6, "kilograms (kg) of CO2e printed as tonnes")
    yield from one("tonnes for kilograms", "carbon", 0.001, 0.4, "tonnes of CO2e printed as kilograms (kg)")
    yield from one("carbon for CO2", "carbon", 12 / 44, 0.3, "mass of carbon, not of CO2 (44/12)")
    yield from _prices(run, document)
    text = "experiments and failed runs are included"
    yield from one("other runs in the bill", "cost energy carbon gpu_hours", 1.3, 0.3, text, 5.0)


def _rated_power(run: Setting, document: Document) -> Iterator[Mistake]:
    """Yield energies computed from the rated instead of the measured power."""
    measured = document.claim("gpu_power")
    rated = run.accelerator.power if run.accelerator else None
    if measured is None or rated is None or rated <= 1.05 * measured.value:
        return
    factor = rated / measured.value
    text = f"uses the rated power (TDP, {rated:.0f} W), not the measured {measured.value:.0f} W"
    both = document.claim("it_energy") is not None
    for quantity, other in (("energy", "it_energy"), ("it_energy", "energy")) if both else (("energy", ""),):
        for also in ((other,), (other, "carbon")) if both else ((), ("carbon",)):
            yield Mistake("TDP for measured power", quantity, 0.97 * factor, 1.03 * factor, 1.5, text, also, factor)


def _losses(document: Document) -> Iterator[Mistake]:
    """Yield the losses of the data centre left out or counted twice: by the stated PUE, else by a usual one."""
    pue = document.claim("pue")
    alone = "the energy of the accelerators alone, without cooling and losses"
    if pue is None or pue.value <= 1.0:
        yield from one("PUE left out", "energy", 1 / 1.6, 0.6, alone, 1 / 1.05)
        return
    yield from one("PUE left out", "energy", 1 / pue.value, 0.6, alone)
    yield from one("PUE applied twice", "energy carbon", pue.value, 0.4, f"the PUE of {pue.value:g} was applied before")


def _prices(run: Setting, document: Document) -> Iterator[Mistake]:
    """Yield prices of a node taken for those of an accelerator, and the reverse."""
    per_node = document.claim("gpus_per_node")
    each = per_node.value if per_node else float(run.accelerator.gpus_per_node) if run.accelerator else 8.0
    if each <= 1:
        return
    yield from one("price per node", "price", each, 0.5, "the price is of a node, not of an accelerator")
    if document.claim("node_price") is not None:
        yield from one(
            "price per node", "cost", each, 0.9, f"each of the {each:g} GPUs of a node was charged as a node"
        )
        yield from one("per GPU for per node", "cost node_price", 1 / each, 0.5, "the price is of a GPU, not of a node")
