"""Results as screens, tables and plots, without any computation of results."""
