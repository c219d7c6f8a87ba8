"""Results as screens, tables and plots. Nothing here computes."""
