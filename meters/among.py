"""`__among`: a lookup for long lists of ids, which reach the database as one parameter.

Django's `__in` makes, checks and quotes a parameter of every id, which for ten thousand of them costs more
than the statement does.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.core.exceptions import EmptyResultSet
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, Lookup
from django.db.models.fields.related import ForeignObject
from django.db.models.sql.compiler import SQLCompiler


class Ids:
    """Ids of which nothing is looked at on the way to the database."""

    __slots__ = ("values",)

    def __init__(self, values: Iterable[Any]) -> None:
        """Keep what there is now."""
        self.values = list(values)


if TYPE_CHECKING:
    AnyLookup = Lookup[Any]
else:
    AnyLookup = Lookup  # takes no parameter as it runs


class Among(AnyLookup):
    """`filter(device_id__among=Ids([...]))`: numbers or texts as the column holds them, never null."""

    lookup_name = "among"
    prepare_rhs = False
    rhs: Ids

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        """Return a condition with one parameter.

        Raises:
            EmptyResultSet: there is no id, so nothing is found and no statement is needed.
        """
        if not self.rhs.values:
            raise EmptyResultSet
        column, params = self.process_lhs(compiler, connection)
        ids = self.rhs.values
        if connection.vendor == "postgresql":
            if isinstance(ids[0], int):  # a text is quoted far faster than a list
                return f"{column} = ANY(%s::bigint[])", (*params, f"{{{','.join(map(str, ids))}}}")
            return f"{column} = ANY(%s)", (*params, ids)
        return f"{column} IN (SELECT value FROM json_each(%s))", (*params, json.dumps(ids))  # noqa: S608 - a column


Field.register_lookup(Among)
ForeignObject.register_lookup(Among)
