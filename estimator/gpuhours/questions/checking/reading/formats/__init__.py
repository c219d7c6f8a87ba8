"""Turns a file of any format into blocks: paragraphs, headings, lists and tables, freed of Markdown, HTML, LaTeX and page marks."""
