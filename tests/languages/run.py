"""`run.py DRIVER`: whether a driver of Python, or psql, takes and gives what its column of docs/other-languages.md
says, and whether all verbs can be called with it, each argument by its name.
"""

import sys
from collections.abc import Callable

from drivers import DRIVERS, Driver
from plan import plan

passed, failed = 0, []


def verdict(what: str, right: bool, detail: object = "") -> None:
    global passed
    if right:
        passed += 1
    else:
        failed.append(f"{what}: {detail}")


def call(step: dict) -> str:
    """The statement of a step, with `{}` in place of each argument."""
    if "statement" in step:
        return step["statement"]
    arguments = ", ".join(f"{name} => {{}}" for name in step["arguments"])
    return f"{'CALL' if step.get('call') else 'SELECT * FROM'} volguard.{step['verb']}({arguments})"


def filled(value: object, kept: dict[str, str]) -> object:
    """The value of an argument as text, or a list of texts; `$name` is what an earlier answer has left."""
    if isinstance(value, list):
        return [filled(item, kept) for item in value]
    return kept[value[1:]] if isinstance(value, str) and value.startswith("$") else value


def take(driver: Driver, cells: dict, probes: dict, kept: dict[str, str]) -> None:
    """Each way to pass a value that the driver knows is taken if its cell has it, and refused if not."""
    for probe in probes["takes"]:
        kind, varied = probe["type"], probe["probe"]
        known = driver.ways(kind)
        missing = set(cells["takes"][kind]) - set(known)
        verdict(f"takes {kind}", not missing, f"the runner does not know {missing}")
        for way, make in known.items():
            if "before" in probe:
                kept["lock"] = driver.text(probe["before"])
            values = {name: filled(value, kept) for name, (_, value) in probe["arguments"].items()}
            arguments = [
                make(value) if name == varied else driver.natural(probe["arguments"][name][0], value)
                for name, value in values.items()
            ]
            try:
                driver.rows(call(probe), arguments)
                right = "check" not in probe or driver.text(probe["check"]) == "true"
                outcome = "taken" if right else "taken for something else"
            except driver.errors as error:
                outcome = f"refused: {type(error).__name__}: {error}".splitlines()[0]
            said = way in cells["takes"][kind]
            verdict(f"takes {kind} as {way}", (outcome == "taken") == said, outcome)
            if "undo" in probe:
                driver.text(probe["undo"])


def give(driver: Driver, cells: dict, probes: dict, kept: dict[str, str]) -> None:
    for kind, query in probes["gives"].items():
        for name, value in kept.items():
            query = query.replace(f"${name}", value)
        found = driver.kind_of(driver.rows(query, [])[0][0])
        said = cells["gives"][kind]
        verdict(f"gives {kind}", said == [found], f"gives {found}, and the page says {said}")


def verbs(driver: Driver, steps: list[dict]) -> None:
    kept: dict[str, str] = {}
    for step in steps:
        values = [driver.natural(kind, filled(value, kept)) for kind, value in step["arguments"].values()]
        try:
            columns, rows = driver.table(call(step), values)
            for name, column in step.get("keep", {}).items():
                kept[name] = driver.as_text(rows[0][columns.index(column)])
            verdict(step["verb"], True)
        except (*driver.errors, IndexError) as error:
            verdict(f"{step['verb']}({', '.join(step['arguments'])})", False, f"{type(error).__name__}: {error}")
    declared = driver.text(
        "SELECT string_agg(DISTINCT proname, ' ') FROM pg_proc WHERE pronamespace = 'volguard'::regnamespace"
        " AND prorettype <> 'trigger'::regtype"
    )
    missing = set(declared.split()) - {step["verb"] for step in steps}
    verdict("all verbs", not missing, f"verbs.json lacks {missing}")


def main(name: str) -> None:
    everything = plan(name)
    connect: Callable[[], Driver] = DRIVERS[name]
    for part in (take, give):
        driver = connect()
        if part is take:
            *setup, register = everything["probes"]["setup"]
            for statement in setup:
                driver.text(statement)
            kept = {"service": driver.text(register)}
        part(driver, everything["cells"], everything["probes"], kept)
    driver = connect()
    driver.text("SELECT volguard.untrack_resource('volume')::text")
    driver.text("SELECT count(volguard.reset_resource('probe', 'g'))::text")
    verbs(driver, everything["verbs"])
    for line in failed:
        print(f"FAILED {name}: {line}")
    print(f"{passed} ok, {len(failed)} FAILED")
    sys.exit(bool(failed))


main(sys.argv[1])
