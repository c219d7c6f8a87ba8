"""Reconcile claims and identities into one run: least squares, contradictions, implied values, the estimator's prediction."""
