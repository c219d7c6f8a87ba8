"""``python -m gpuhours_cli``: the same as ``gpuhours``."""

from gpuhours_cli.app import main

main()
