"""Checking a document: its figures as measurements, the identities between them, and what explains a contradiction."""
