"""Reads tables and invoices into figures with their quantities, each under the name of its row or column."""
