"""``gpuhours`` and ``python -m gpuhours_cli``: nothing is imported before Ctrl-C is handled."""


def main() -> None:
    """Run a command; Ctrl-C ends it without a traceback, also while its modules are imported."""
    try:
        from gpuhours_cli.app import main as command

        command()
    except KeyboardInterrupt:  # typer handles it once a command runs
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
