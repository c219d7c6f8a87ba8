"""Accelerators, nodes and clusters, read from YAML profiles in which each figure has a unit and a source."""

from __future__ import annotations
