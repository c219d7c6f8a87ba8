"""Print name, version and licence of every package in this environment, one per line: ``python .ci/licences.py > licences.txt``."""

from importlib.metadata import distributions


def licence(found: object) -> str:
    """Return the licence that a package declares: the expression, else the classifiers, else the first line of the text."""
    told = found.metadata  # type: ignore[attr-defined]
    classified = [one.rpartition(" :: ")[2] for one in told.get_all("Classifier", []) if one.startswith("License ::")]
    text = (told.get("License") or "").strip().splitlines()
    return told.get("License-Expression") or ", ".join(classified) or (text[0] if text else "not said")


if __name__ == "__main__":
    for line in sorted(
        {f"{one.metadata['Name']} {one.version}: {licence(one)}" for one in distributions()}, key=str.lower
    ):
        print(line)
