"""Conversion factors for the units used in profiles and runs, so that these load without pint.

Importing pint takes longer than an estimate. These factors are pint's results, (unit as written, target unit) -> factor; a test compares
each with pint. All other units are looked up in pint.
"""

from __future__ import annotations

from typing import Final

FACTORS: Final[dict[tuple[str, str], float]] = {
    ("%", ""): 0.01,
    ("FPS", "FPS"): 1.0,
    ("B", "byte"): 1.0,
    ("byte", "byte"): 1.0,
    ("MB", "byte"): 1e6,
    ("GB", "byte"): 1e9,
    ("TB", "byte"): 1e12,
    ("MiB", "byte"): 2.0**20,
    ("GiB", "byte"): 2.0**30,
    ("TiB", "byte"): 2.0**40,
    ("GB/s", "byte/s"): 1e9,
    ("TB/s", "byte/s"): 1e12,
    ("Gbit/s", "byte/s"): 1.25e8,
    ("TFLOP/s", "FLOP/s"): 1e12,
    ("PFLOP/s", "FLOP/s"): 1e15,
    ("MHz", "Hz"): 1e6,
    ("us", "s"): 1e-6,
    ("ms", "s"): 1e-3,
    ("s", "s"): 1.0,
    ("hours", "s"): 3600.0,
    ("days", "s"): 86400.0,
    ("weeks", "s"): 604800.0,
    ("months", "s"): 2629800.0,
    ("hours", "hour"): 1.0,
    ("days", "day"): 1.0,
    ("GPU-hours", "GPU*hour"): 1.0,
    ("USD/GPU-hour", "USD/(GPU*hour)"): 1.0,
    ("USD/hour", "USD/hour"): 1.0,
    ("gCO2e/kWh", "gCO2e/J"): 1 / 3.6e6,
    ("W", "W"): 1.0,
    ("kW", "W"): 1e3,
    ("minutes", "s"): 60.0,
    ("years", "s"): 31557600.0,
    ("hour", "s"): 3600.0,
    ("day", "s"): 86400.0,
    ("USD", "USD"): 1.0,
    ("kgCO2e", "gCO2e"): 1e3,
    ("Mpixel/s", "pixel/s"): 1e6,
    ("tokens", "token"): 1.0,
    ("samples", "sample"): 1.0,
    ("pairs", "sample"): 1.0,
    ("epochs", "epoch"): 1.0,
    ("frames", "frame"): 1.0,
    ("TFLOP", "FLOP"): 1e12,
    ("days", "second"): 86400.0,
    ("weeks", "second"): 604800.0,
    ("months", "second"): 2629800.0,
    ("GPU-hours", "GPU * second"): 3600.0,
}
