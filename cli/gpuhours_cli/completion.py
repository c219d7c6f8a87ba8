"""Shell completion (``gpuhours --install-completion``): names and keys, looked up when the shell asks."""

from collections.abc import Callable, Iterable


def offered(look_up: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Complete the names that ``look_up`` returns; nothing if a profile cannot be read, since a prompt should show no errors."""

    def complete(incomplete: str) -> list[str]:
        from gpuhours.inputs.errors import EstimateError

        try:
            return [name for name in look_up() if name.startswith(incomplete)]
        except EstimateError:
            return []

    return complete


def of_key(key: str) -> Callable[[str], list[str]]:
    """Complete the values that a key of the run accepts."""

    def look_up() -> list[str]:
        from gpuhours.questions.listing.names import values

        return values(key)

    return offered(look_up)


def keys(incomplete: str) -> list[str]:
    """Complete ``KEY=``, then its values: ``layout.sharding=zero1``."""
    from gpuhours.questions.listing.names import run_keys, values

    key, equals, _ = incomplete.partition("=")
    return offered(lambda: [f"{key}={word}" for word in values(key)] if equals else [f"{one}=" for one in run_keys()])(
        incomplete
    )


def several(look_up: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Complete the last of several comma-separated names."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        return [f"{before}{comma}{name}" for name in offered(look_up)(last)]

    return complete


def run_keys() -> list[str]:
    """Keys of a run."""
    from gpuhours.questions.listing.names import run_keys as known

    return known()


def results() -> list[str]:
    """Results of an estimate."""
    from gpuhours.questions.listing.names import results as known

    return known()


def profiles() -> list[str]:
    """Accelerators and nodes."""
    from gpuhours.questions.listing.names import accelerators, nodes

    return [*accelerators(), *nodes()]


def models() -> list[str]:
    """Published models."""
    from gpuhours.questions.listing.names import models as known

    return known()


def stacks() -> list[str]:
    """Software profiles."""
    from gpuhours.questions.listing.names import stacks as known

    return known()


def examples() -> list[str]:
    """Examples for ``init``."""
    from gpuhours.questions.starting import example_names

    return [*example_names(), "list"]


def documents() -> list[str]:
    """Published texts included in the package."""
    from gpuhours.questions.reproducing.working import document_paths

    return list(document_paths())


def codes() -> list[str]:
    """Training frameworks whose files can be written."""
    from gpuhours.questions.interchange.files import CODES

    return list(CODES)
