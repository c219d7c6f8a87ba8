"""Conversion from and to the configuration files of training frameworks."""
