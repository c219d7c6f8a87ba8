"""Convert configuration files of training frameworks to runs and back."""
