"""One run's answer: every result with its range, the advice, stages added up."""
