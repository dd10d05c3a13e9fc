"""What a driver is to be asked: the cells of its column in docs/other-languages.md, the probes and the verbs.

`plan.py DRIVER` prints it as JSON, for the runners in other languages; those in Python import it.
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE / "../../docs/other-languages.md"


def cells(driver: str) -> dict[str, dict[str, list[str]]]:
    """By the type of Postgres: what the driver takes for it, and what it gives, as the words in backticks say."""
    takes, gives = {}, {}
    column = None
    for line in PAGE.read_text().splitlines():
        row = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not row:
            column = None
        elif row[0] == "Postgres":
            column = row.index(driver) if driver in row else None
        elif column is not None and not row[0].startswith("---"):
            before, arrow, after = row[column].partition("→")
            assert arrow, f"no arrow in {row[column]}"
            takes[row[0].replace("`", "")] = re.findall("`([^`]+)`", before)
            gives[row[0].replace("`", "")] = re.findall("`([^`]+)`", after)
    assert len(takes) > 10, f"the page has no column {driver}"
    return {"takes": takes, "gives": gives}


def plan(driver: str) -> dict:
    """The cells, with `probes.json` and `verbs.json`. They must be of the same types."""
    probes = json.loads((HERE / "probes.json").read_text())
    found = cells(driver)
    probed = {probe["type"] for probe in probes["takes"]}
    assert probed == {kind for kind, words in found["takes"].items() if words}, f"{probed} and the page differ"
    given = {kind for kind, words in found["gives"].items() if words}
    assert set(probes["gives"]) == given, f"{given} of the page differ"
    return {"cells": found, "probes": probes, "verbs": json.loads((HERE / "verbs.json").read_text())}


if __name__ == "__main__":
    print(json.dumps(plan(sys.argv[1])))
