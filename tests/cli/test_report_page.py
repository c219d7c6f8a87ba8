"""The pages of ``report`` and ``check --html`` in a browser, on a phone in the dark and on a desktop in the light.

No console errors, nothing fetched, nothing wider than the window, no serious findings of axe, two printed pages. Needs Chromium; axe-core's
``axe.min.js`` is looked for in $AXE_CORE and in ``node_modules``, and without it the audit is skipped.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LLAMA, Command

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
PLACES = (os.environ.get("AXE_CORE"), "node_modules/axe-core/axe.min.js")
AXE = next((Path(place) for place in PLACES if place and Path(place).is_file()), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--virtual-time-budget=20000",
)  # fmt: skip
PAGES: dict[str, tuple[str, ...]] = {
    "stated": ("report", *LLAMA, "--country", "France", "-o"),
    "little": ("report", "--params", "7B", "--tokens", "1T", "--gpu", "h100-sxm-80gb", "-o"),
    "check": ("check", "tests/texts/bad-sparse.txt", "--html"),
}
PRINTED = ("stated", "little")
SCREENS = {"phone": (390, "0"), "desktop": (1100, "1")}
"""Width in pixels, and Chromium's number of the colour scheme: 0 is dark, 1 light."""
PROBE = """
const told = found => {
  const out = parent.document.createElement("pre");
  out.id = "found";
  out.textContent = JSON.stringify(found);
  parent.document.body.append(out);
};
const wide = [document.documentElement.scrollWidth, window.innerWidth];
const listed = one => [one.impact, one.id, one.nodes.map(node => node.html)];
if (window.axe) axe.run().then(found => told({wide, axe: found.violations.map(listed)}));
else told({wide});
"""
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture
def page(gpuhours_command: Command, folder: Path, name: str) -> Path:
    path = folder / f"{name}.html"
    if not path.is_file():
        assert gpuhours_command(*PAGES[name], str(path), "--quiet").code in (0, 1)
    return path


def browsed(path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Open a file in Chromium with its own profile, and return the completed process."""
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={path.parent / 'profile'}", *flags, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@cache
def found(path: Path, screen: str) -> dict[str, Any]:
    """What a page shows in a frame of the screen's width (a window of a phone's width is not to be had): sizes, console, axe's findings."""
    width, scheme = SCREENS[screen]
    script = "" if AXE is None else AXE.read_text(encoding="utf-8").replace("</script", "<\\/script")
    text = path.read_text(encoding="utf-8").replace(
        "</body>", f"<script>{script}</script><script>{PROBE}</script></body>"
    )
    framed = path.parent / f"{path.stem}-{screen}.html"
    style = f"border: 0; width: {width}px; height: 900px"
    framed.write_text(
        f'<!doctype html><body><iframe title="page" style="{style}" srcdoc="{html.escape(text, quote=True)}"></iframe>',
        encoding="utf-8",
    )
    done = browsed(framed, "--window-size=1300,1000", f"--blink-settings=preferredColorScheme={scheme}", "--dump-dom")
    told = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert told is not None, "the probe did not end"
    seen: dict[str, Any] = json.loads(html.unescape(told[1]))
    return {**seen, "console": [line for line in done.stderr.splitlines() if "CONSOLE" in line]}


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_fetched(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"<(?:script|img|link|iframe|object)[^>]*(?:src|href|data)=\"(?!data:)[^>]*>", text) == []


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("name", PAGES)
def test_the_console_is_silent_and_nothing_stands_out_of_the_page(page: Path, screen: str) -> None:
    seen = found(page, screen)
    assert seen["console"] == []
    assert seen["wide"][1] == SCREENS[screen][0]
    assert seen["wide"][0] <= seen["wide"][1]


@pytest.mark.skipif(AXE is None, reason="needs axe-core: AXE_CORE=axe.min.js")
@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(page: Path, screen: str) -> None:
    assert [one for one in found(page, screen)["axe"] if one[0] in ("serious", "critical")] == []


@pytest.mark.parametrize("name", PRINTED)
def test_it_prints_on_two_pages(page: Path) -> None:
    pypdf = pytest.importorskip("pypdf")
    paper = page.with_suffix(".pdf")
    browsed(page, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    assert len(pypdf.PdfReader(paper).pages) <= 2
