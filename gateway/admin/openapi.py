"""The OpenAPI document of the admin port, made of the endpoints and rows that are served."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Any

from gateway.admin.endpoints import (
    ACTIONS,
    LISTINGS,
    READINGS,
    TRACE,
    AdminAction,
    Listing,
    Reading,
    Watching,
)
from gateway.admin.paging import API, LIMIT, MOST
from gateway.admin.rows import RatesRow

VERSION = "3.1.0"
_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


@cache
def document() -> dict[str, Any]:
    """The whole. Raises TypeError for a row that JSON cannot show."""
    schemas: dict[str, Any] = {"Error": _object({"error": {"type": "string"}})}
    paths: dict[str, Any] = {}
    for listing in LISTINGS:
        paths[API + listing.path] = {"get": _listing(listing, schemas)}
    for reading in READINGS:
        paths[API + reading.path] = {"get": _reading(reading, schemas)}
    for action in ACTIONS:
        paths[API + action.path] = {"post": _action(action)}
    paths[f"{API}/events"] = {"get": _events(schemas)}
    paths[API + TRACE.path] = {"get": _watching(TRACE, schemas)}
    paths[f"{API}/openapi.json"] = {"get": _operation("This document", {"type": "object"})}
    for path, help in (
        ("/healthz", "Whether the process lives"),
        ("/readyz", "Whether calls should come here"),
    ):
        paths[path] = {"get": _plain(help)}
    paths["/metrics"] = {"get": _text("All counters, in Prometheus' text form")}
    return {
        "openapi": VERSION,
        "info": {
            "title": "Callboard admin port",
            "version": "1",
            "description": "What a node shows, and what operators may do. Times are seconds, sizes bytes.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _listing(listing: Listing, schemas: dict[str, Any]) -> dict[str, Any]:
    page = _object(
        {
            "items": {"type": "array", "items": schema_of(listing.row, schemas)},
            "next": {"type": ["string", "null"], "description": "the cursor of the next page"},
        }
    )
    if listing.note:
        page["properties"]["note"] = {"type": "string"}
        page["required"].append("note")
    made = _operation(listing.summary, page, note=listing.note)
    made["parameters"] = [
        _query(
            "limit", {"type": "integer", "minimum": 1, "maximum": MOST, "default": LIMIT}, "rows of a page"
        ),
        _query("cursor", {"type": "string"}, "the `next` of the page before"),
        _query("name", {"type": "string", "maxLength": 512}, "what the name begins with"),
    ]
    return made


def _reading(reading: Reading, schemas: dict[str, Any]) -> dict[str, Any]:
    made = _operation(reading.summary, schema_of(reading.row, schemas))
    asked = [_query(name, {"type": "string"}, help, required=True) for name, help in reading.query.items()]
    return made | _in_path(reading.path) | ({"parameters": asked} if asked else {})


def _action(action: AdminAction) -> dict[str, Any]:
    made = _operation(action.summary, {"type": "object"}, also=("409",)) | _in_path(action.path)
    members = {name: {"type": "string", "description": help} for name, help in action.body.items()}
    body = {"type": "object", "properties": members, "additionalProperties": False}
    made["requestBody"] = {"required": False, "content": {"application/json": {"schema": body}}}
    made["security"] = [{"token": []}]
    return made


def _events(schemas: dict[str, Any]) -> dict[str, Any]:
    schema_of(RatesRow, schemas)
    made = _text("Server-sent events: `rates` each second, as RatesRow")
    made["responses"]["200"]["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    return made


def _watching(watching: Watching, schemas: dict[str, Any]) -> dict[str, Any]:
    schema_of(watching.row, schemas)
    made = _text(f"{watching.summary}: server-sent events, each a {watching.row.__name__}")
    made["responses"]["200"]["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    made["parameters"] = [
        _query(name, {"type": "string"}, help, required=name == "name")
        for name, help in watching.query.items()
    ]
    return made


def _operation(
    summary: str, schema: dict[str, Any], *, note: str = "", also: tuple[str, ...] = ()
) -> dict[str, Any]:
    errors = {
        code: {"description": help, "content": {"application/json": {"schema": _reference("Error")}}}
        for code, help in _ERRORS.items()
        if code[0] == "4" and (code != "409" or code in also)
    }
    return {
        "summary": summary,
        **({"description": note} if note else {}),
        "responses": {
            "200": {"description": summary, "content": {"application/json": {"schema": schema}}},
            **errors,
        },
    }


_ERRORS = {
    "400": "the query or the body cannot be read",
    "401": "a token is needed, or is wrong",
    "403": "not for who asks",
    "404": "there is no such thing",
    "409": "it does not fit what it is about",
    "429": "too many wrong tokens from this address",
}


def _text(summary: str) -> dict[str, Any]:
    made = _operation(summary, {"type": "string"})
    made["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return made


def _plain(summary: str) -> dict[str, Any]:
    answer = {"content": {"text/plain": {"schema": {"type": "string"}}}}
    return {
        "summary": summary,
        "responses": {"200": {"description": "yes", **answer}, "503": {"description": "no", **answer}},
        "security": [{}],
    }


def _query(name: str, schema: dict[str, Any], help: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": required, "schema": schema, "description": help}


def _in_path(path: str) -> dict[str, Any]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    given = [{"name": one, "in": "path", "required": True, "schema": {"type": "integer"}} for one in names]
    return {"parameters": given} if given else {}


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict[str, Any], help: str = "") -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        **({"description": help} if help else {}),
    }


def schema_of(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of a type in a row; rows go into `schemas`, by their name. Raises TypeError."""
    if kind in _SIMPLE:
        return {"type": _SIMPLE[kind]}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return {"type": "string", "enum": [one.value for one in kind]}
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [schema_of(one, schemas) for one in inner]}
    if origin is tuple:
        return {"type": "array", "items": schema_of(inner[0], schemas)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(inner[1], schemas)}
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
        if kind.__name__ not in schemas:
            hints = typing.get_type_hints(kind)
            properties = {name: schema_of(hints[name], schemas) for name in kind._fields}
            schemas[kind.__name__] = _object(properties, (kind.__doc__ or "").partition("\n")[0])
        return _reference(kind.__name__)
    raise TypeError(f"{kind} has no JSON form")
