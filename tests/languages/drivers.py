"""The drivers of Python, and psql: how each passes a value of a type of Postgres, and what it gives for one."""

import asyncio
import csv
import datetime
import json
import os
import re
import subprocess
import uuid
from collections.abc import Callable

import asyncpg
import psycopg
import sqlalchemy
from psycopg.types.json import Jsonb
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

URL = os.environ["DATABASE_URL"]
Ways = dict[str, Callable]


def timedelta(value: str) -> datetime.timedelta:
    hours, minutes, seconds = value.split(":")
    return datetime.timedelta(hours=int(hours), minutes=int(minutes), seconds=float(seconds))


# By the type of Postgres: the ways that a Python program may try, each of a text. The first is what it has at hand.
WAYS: dict[str, Ways] = {
    "bigint": {"int": int, "str": str},
    "integer": {"int": int, "str": str},
    "text, name": {"str": str},
    "regclass": {"str": str},
    "boolean": {"bool": lambda value: value == "true", "str": str},
    "interval": {
        "timedelta": timedelta,
        "str": str,
        "float": lambda value: timedelta(value).total_seconds(),
    },
    "timestamptz": {"datetime": datetime.datetime.fromisoformat, "str": str},
    "uuid": {"UUID": uuid.UUID, "str": str},
    "jsonb: an object": {"dict": json.loads, "str": str},
    "jsonb: a list": {"list": json.loads, "str": str},
    "text[]": {"list[str]": list, "str": lambda values: "{%s}" % ",".join(values)},
    "bigint[]": {
        "list[int]": lambda values: [int(value) for value in values],
        "list[str]": list,
        "str": lambda values: "{%s}" % ",".join(values),
    },
    "uuid[]": {
        "list[UUID]": lambda values: [uuid.UUID(value) for value in values],
        "list[str]": list,
        "str": lambda values: "{%s}" % ",".join(values),
    },
    "NULL": {"None": lambda value: None},
}
KINDS = {"name": "text, name", "text": "text, name"}


class Driver:
    """One connection, whose statements commit by themselves. Statements have `{}` for each argument."""

    errors: tuple[type[Exception], ...]
    # Ways of this driver alone, which come first.
    more_ways: dict[str, Ways] = {}
    # The way in which a program passes a type, where that is not the first one.
    preferred: dict[str, str] = {}

    def ways(self, kind: str) -> Ways:
        return {**self.more_ways.get(kind, {}), **WAYS[kind]}

    def natural(self, kind: str, value: object) -> object:
        """What a program passes for an argument of this type."""
        if kind == "jsonb":
            kind = "jsonb: a list" if str(value).startswith("[") else "jsonb: an object"
        kind = KINDS.get(kind, kind)
        ways = self.ways(kind)
        return ways[self.preferred.get(kind, next(iter(ways)))](value)

    def table(self, statement: str, arguments: list) -> tuple[list[str], list]:
        """The names of the columns of an answer, and its rows."""
        raise NotImplementedError

    def rows(self, statement: str, arguments: list) -> list:
        return self.table(statement, arguments)[1]

    def text(self, query: str) -> str:
        """The one value that a query returns, which is text."""
        return self.rows(query, [])[0][0]

    def as_text(self, value: object) -> str:
        return str(value)

    def kind_of(self, value: object) -> str:
        """The name of the value's type; for a list with that of its elements, unless it is the one that is JSON."""
        if value is None:
            return "None"
        if isinstance(value, list) and value != [1]:
            return f"list[{self.kind_of(value[0])}]"
        return type(value).__name__


class Psycopg(Driver):
    errors = (psycopg.Error,)
    more_ways = {
        "jsonb: an object": {"Jsonb": lambda value: Jsonb(json.loads(value))},
        "jsonb: a list": {"Jsonb": lambda value: Jsonb(json.loads(value))},
    }

    def __init__(self):
        self.connection = psycopg.connect(URL, autocommit=True, prepare_threshold=None)

    def table(self, statement, arguments):
        sql = statement.replace("{}", "%s") if arguments else statement
        cursor = self.connection.execute(sql, arguments or None)
        return [column.name for column in cursor.description], cursor.fetchall()


class Typed:
    """A value with the type of SQLAlchemy that it is bound as."""

    def __init__(self, value: object, kind: object):
        self.value, self.kind = value, kind


class SqlAlchemy(Driver):
    errors = (sqlalchemy.exc.DBAPIError,)
    more_ways = {
        "jsonb: an object": {"dict: JSONB": lambda v: Typed(json.loads(v), JSONB)},
        "jsonb: a list": {"list: JSONB": lambda v: Typed(json.loads(v), JSONB)},
        "interval": {"str: Text": lambda v: Typed(v, sqlalchemy.Text)},
    }
    preferred = {"interval": "timedelta"}

    def __init__(self):
        url = sqlalchemy.make_url(URL).set(drivername="postgresql+psycopg")
        unprepared = {"prepare_threshold": None}
        self.engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", connect_args=unprepared)

    def table(self, statement, arguments):
        numbers = iter(range(len(arguments)))
        if arguments:
            clause = text(re.sub(r"\{\}", lambda _: f":p{next(numbers)}", statement))
        else:
            clause = text(statement.replace(":", "\\:"))
        values = {}
        for number, value in enumerate(arguments):
            if isinstance(value, Typed):
                clause = clause.bindparams(bindparam(f"p{number}", type_=value.kind))
                value = value.value
            values[f"p{number}"] = value
        with self.engine.connect() as connection:
            result = connection.execute(clause, values)
            return list(result.keys()), result.all()


class Asyncpg(Driver):
    errors = (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError)
    preferred = {"jsonb: an object": "str", "jsonb: a list": "str"}

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.connection = self.loop.run_until_complete(asyncpg.connect(URL, statement_cache_size=0))

    def table(self, statement, arguments):
        numbers = iter(range(1, len(arguments) + 1))
        sql = re.sub(r"\{\}", lambda _: f"${next(numbers)}", statement) if arguments else statement
        rows = self.loop.run_until_complete(self.connection.fetch(sql, *arguments))
        return list(rows[0].keys()) if rows else [], rows


class Psql(Driver):
    """Each statement by a psql of its own; arguments are its variables, which it quotes."""

    errors = (subprocess.CalledProcessError,)

    def ways(self, kind):
        if kind == "NULL":
            return {"NULL": lambda value: None}
        if kind.endswith("[]"):
            return {"text": lambda values: "{%s}" % ",".join(values)}
        return {"text": str}

    def table(self, statement, arguments):
        command = ["psql", "-XqAt", "--csv", "-v", "ON_ERROR_STOP=1", "-P", "tuples_only=off", "-P", "null=\\N"]
        for number, value in enumerate(arguments):
            name = "NULL" if value is None else f":'p{number}'"
            statement = statement.replace("{}", name, 1)
            command += [] if value is None else ["-v", f"p{number}={value}"]
        done = subprocess.run([*command, URL], input=statement, capture_output=True, text=True, check=True)
        columns, *rows = list(csv.reader(done.stdout.splitlines())) or [[]]
        return columns, [[None if value == "\\N" else value for value in row or [""]] for row in rows]

    def kind_of(self, value):
        return "NULL" if value is None else "text"


DRIVERS: dict[str, Callable[[], Driver]] = {
    "psycopg 3": Psycopg,
    "SQLAlchemy 2": SqlAlchemy,
    "asyncpg": Asyncpg,
    "psql": Psql,
}
