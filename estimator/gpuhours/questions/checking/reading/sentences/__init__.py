"""Reads prose into figures with their quantities: clauses, lists, labels, questions and their answers, what pronouns count."""
