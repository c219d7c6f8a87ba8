"""Claims and identities -> one run: least squares, what contradicts, what is implied, what the estimator predicts."""
