"""Reads a file's text: UTF-8 or a Windows encoding, standard input, or the pages of a PDF."""

from __future__ import annotations

import io
from pathlib import Path

from gpuhours.inputs.errors import EstimateError
from gpuhours.inputs.yaml_files import read_bytes
from gpuhours.questions.checking.reading.formats.pages import PAGE

LARGEST_TEXT, LARGEST_PDF = 20_000_000, 100_000_000
"""Size limits in bytes; a PDF also contains pictures."""
HINT = "Check one run's section at a time."
PDF = b"%PDF-"
PDF_END = 100_000
"""The number of bytes at the end of a PDF that are searched for the position of its table of contents."""


def read_file(path: Path) -> str:
    """The text of a file, of standard input (``-``) or of a PDF; raises an error for anything that is not text."""
    if str(path) == "-":
        return _checked(read_bytes(path, LARGEST_TEXT, HINT), path)
    data = read_bytes(path, LARGEST_PDF if _begins(path) == PDF else LARGEST_TEXT, HINT)
    if data[:5] == PDF:
        return _pdf(path, data)
    if path.suffix.lower() == ".pdf":
        raise EstimateError("is not a PDF", "It does not start with a PDF header.", str(path))
    return _checked(data, path)


def _checked(data: bytes, path: Path) -> str:
    """Decodes bytes as text; raises an error if they are empty or not text."""
    where = "standard input" if str(path) == "-" else str(path)
    encodings = ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text or (encoding == "cp1252" and _unlike_text(data)):
            break
        if not text.strip():
            raise EstimateError("is empty", "", where)
        if not any(c.isascii() and c.isalnum() for c in text):
            break
        return text
    raise EstimateError("is not a text file", "Save its text as UTF-8 first.", where)


def _unlike_text(data: bytes) -> bool:
    """Whether more than one byte in twenty is one that text in a Western encoding does not contain."""
    odd = sum(byte < 9 or 13 < byte < 32 or 127 <= byte < 160 or byte == 255 for byte in data[:100_000])
    return odd * 20 > len(data[:100_000])


def _begins(path: Path) -> bytes:
    """The first bytes of a regular file; empty if it is not one or cannot be read."""
    if not path.is_file():
        return b""
    try:
        with path.open("rb") as file:
            return file.read(len(PDF))
    except OSError:
        return b""  # reported where it is read


def _pdf(path: Path, data: bytes) -> str:
    """The text of a PDF, with a form feed between pages."""
    if b"startxref" not in data[-PDF_END:]:  # otherwise the reader searches the whole file for it
        raise EstimateError("is a truncated PDF", "Fetch it again.", str(path))
    try:
        import pypdf
    except ImportError:
        raise EstimateError(
            "is a PDF", "Install the extra that reads them: pip install 'gpuhours[pdf]'", str(path)
        ) from None
    try:
        pages = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages]
    except Exception as error:  # the library may raise anything on a broken PDF
        raise EstimateError(
            f"is a PDF that cannot be read: {error}", "Save its text first: pdftotext paper.pdf paper.txt", str(path)
        ) from None
    text = f"\n{PAGE}\n".join(pages)
    if not text.strip():
        raise EstimateError("is a PDF without text", "Its pages are images: run OCR first.", str(path))
    return text
