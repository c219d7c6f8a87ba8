"""The report in a browser: no console errors, no network requests, no serious findings of axe.

Needs Chromium; axe-core's ``axe.min.js`` is looked for in $AXE_CORE and in ``node_modules``, and without it the audit is skipped.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import LLAMA, Command

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
PLACES = (os.environ.get("AXE_CORE"), "node_modules/axe-core/axe.min.js")
AXE = next((Path(place) for place in PLACES if place and Path(place).is_file()), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--enable-logging=stderr", "--virtual-time-budget=20000",
)  # fmt: skip
AUDIT = """
axe.run().then(found => {
  const out = document.createElement("pre");
  out.id = "axe";
  out.textContent = JSON.stringify(found.violations.map(one => [one.impact, one.id, one.nodes.map(node => node.html)]));
  document.body.append(out);
});
"""
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report")


@pytest.fixture
def page(gpuhours_command: Command, folder: Path) -> Path:
    path = folder / "report.html"
    if not path.is_file():
        words = (
            *LLAMA,
            "--country",
            "France",
        )
        assert gpuhours_command("report", *words, "-o", str(path), "--quiet").code == 0
    return path


def browsed(path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Open a file in Chromium with its own profile, and return the completed process."""
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={path.parent / 'profile'}", *flags, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def test_the_console_is_silent_and_nothing_is_fetched(page: Path) -> None:
    loaded = re.findall(
        r"<(?:script|img|link|iframe|object)[^>]*(?:src|href|data)=\"(?!data:)[^>]*>", page.read_text(encoding="utf-8")
    )
    assert loaded == []
    assert "CONSOLE" not in browsed(page, "--dump-dom").stderr


@pytest.mark.parametrize("width", [390, 1100])
def test_nothing_stands_out_of_the_page(page: Path, width: int) -> None:
    """No element is wider than the window, on a phone or a desktop."""
    probe = "document.body.dataset.wide = document.documentElement.scrollWidth + '/' + window.innerWidth"
    text = page.read_text(encoding="utf-8").replace("</body>", f"<script>{probe}</script></body>")
    path = page.parent / f"probe-{width}.html"
    path.write_text(text, encoding="utf-8")
    found = re.search(r'data-wide="(\d+)/(\d+)"', browsed(path, f"--window-size={width},1000", "--dump-dom").stdout)
    assert found is not None
    assert int(found[1]) <= int(found[2])


def test_it_prints_on_two_pages(page: Path) -> None:
    pypdf = pytest.importorskip("pypdf")
    paper = page.parent / "report.pdf"
    browsed(page, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    assert len(pypdf.PdfReader(paper).pages) <= 2


@pytest.mark.skipif(AXE is None, reason="needs axe-core: AXE_CORE=axe.min.js")
@pytest.mark.parametrize("scheme", ["0", "1"], ids=["dark", "light"])
def test_axe_finds_nothing_serious(page: Path, scheme: str) -> None:
    assert AXE is not None
    script = AXE.read_text(encoding="utf-8").replace("</script", "<\\/script")
    audited = page.parent / f"audited-{scheme}.html"
    text = page.read_text(encoding="utf-8")
    audited.write_text(
        text.replace("</body>", f"<script>{script}</script><script>{AUDIT}</script></body>"), encoding="utf-8"
    )
    dom = browsed(audited, f"--blink-settings=preferredColorScheme={scheme}", "--dump-dom").stdout
    told = re.search(r'<pre id="axe">(.*?)</pre>', dom, re.DOTALL)
    assert told is not None, "axe did not end"
    serious = [one for one in json.loads(html.unescape(told[1])) if one[0] in ("serious", "critical")]
    assert serious == []
