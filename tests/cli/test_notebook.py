"""The notebook under ``.github/docs`` runs unchanged in a kernel and answers its questions."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

NEEDED = ("nbformat", "nbclient", "ipykernel")
pytestmark = pytest.mark.skipif(not all(map(find_spec, NEEDED)), reason=f"needs {', '.join(NEEDED)}")
NOTEBOOK = Path(__file__).parents[2] / ".github" / "docs" / "three-questions.ipynb"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    """Return the output of every code cell, executed by a kernel of this interpreter."""
    import nbclient
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(cell.get("outputs", []) == [] for cell in notebook.cells), "kept without outputs: they are made here"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "IPYTHONDIR": str(tmp_path_factory.mktemp("ipython")),
    }
    client = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3")
    client.execute(env=environment)
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def text(outputs: list[Any]) -> str:
    return "".join(one.get("text", "") or one.get("data", {}).get("text/plain", "") for one in outputs)


def test_what_a_run_costs_is_shown_as_a_table_with_ranges(outputs: list[list[Any]]) -> None:
    page = outputs[1][0]["data"]["text/html"]
    assert "gpu_hours" in page
    assert "<th>low</th>" in page
    assert "e+04" not in page
    assert text(outputs[1]).startswith("<Estimate run: wall_clock=")
    assert "GPU-hours," in text(outputs[2])


def test_only_adapters_fit_the_small_cards(outputs: list[list[Any]]) -> None:
    """13 B parameters at 16 bytes over four cards are 52 GB each; weights alone are 6.5 GB sharded, 7 GB unsharded in 4 bit."""
    lines = text(outputs[3]).splitlines()
    assert ["does not fit" in line for line in lines] == [True, False, False]
    assert float(lines[0].split()[1]) > 52 * 0.9


def test_frames_and_their_unit(outputs: list[list[Any]]) -> None:
    assert "data.frames" in outputs[4][0]["data"]["text/html"]
    assert text(outputs[4]).startswith("<Sweep video: 5 of 5 rows over data.frames>")
    assert "second" in text(outputs[5])
    assert "frames take more than twice as long as 8" in text(outputs[5])
