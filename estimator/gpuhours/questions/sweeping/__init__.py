"""Parameter sweeps of up to millions of rows: any input varied, every result a column."""

from gpuhours.questions.sweeping.running import Sweep, sweep

__all__ = ["Sweep", "sweep"]
