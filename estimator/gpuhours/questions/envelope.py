"""The header of every JSON document: its command and schema number.

``schema`` is ``gpuhours/COMMAND/NUMBER``; the number increases when a key is removed or renamed, or when a key, a unit or a word changes
its meaning (not when one is added).
Units are GPU*hour, Wh, tCO2e, USD, token, sample and FLOP, and otherwise SI, spelled out (second, byte, byte/second, watt).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

NUMBER = 3
"""Schema 1: energy in J, carbon in gCO2e, ``samples`` in ``check`` meaning the data set's, three sets of verdict words. Schema 2: errors of
predictions made before a measurement as ``foretold_error``, ``foretold_rows``, ``foretold_mape`` and ``foretold_median_ape``; ``apart``,
``eased``, ``narrow``, ``met``, ``unmet``, ``settled`` and ``settled_on`` for ``independent``, ``clock_gain``, ``single_system``,
``measured_on``, ``unmeasured_factor``, ``fitted`` and ``fitted_on`` of software profiles."""
SPELLED = {"s": "second", "W": "watt", "kW": "kilowatt", "B": "byte", "Hz": "hertz", "USD/(GPU*hour)": "USD/GPU/hour"}
_WORD = re.compile(r"[A-Za-z]+[0-9]*[A-Za-z]*")


def envelope(command: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON document of a command."""
    from gpuhours.inputs.version import __version__

    spelt = {name: value if name == "rows" else with_units_spelled(value) for name, value in content.items()}
    return {"schema": f"gpuhours/{command}/{NUMBER}", "version": __version__, **spelt}


def with_units_spelled(value: Any) -> Any:
    """The same document with every ``unit`` spelled out as documented, whatever abbreviation its source uses."""
    if isinstance(value, Mapping):
        return {
            name: spelled(inner) if name == "unit" and isinstance(inner, str) else with_units_spelled(inner)
            for name, inner in value.items()
        }
    return [with_units_spelled(inner) for inner in value] if isinstance(value, list | tuple) else value


def spelled(unit: str) -> str:
    """A unit spelled out.

    >>> spelled("byte/s"), spelled("USD/(GPU*hour)"), spelled("gCO2e/kWh")
    ('byte/second', 'USD/GPU/hour', 'gCO2e/kWh')
    """
    return SPELLED.get(unit) or _WORD.sub(lambda word: SPELLED.get(word[0], word[0]), unit)
