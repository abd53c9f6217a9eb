"""The OpenAPI document says of each route what is served there, and nothing of routes that are not."""

from __future__ import annotations

from typing import Any

from gateway.admin.endpoints import LISTINGS, READINGS
from gateway.admin.openapi import document
from gateway.admin.page_files import PATHS
from gateway.admin.paging import API
from tests.gateway.admin.conftest import Run

PAGES = {"/", "/login", "/logout"}
"""Of browsers: no part of the API."""


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value is what a schema of this document says."""
    if "$ref" in schema:
        return fits(value, document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    if "anyOf" in schema:
        return any(fits(value, one) for one in schema["anyOf"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    match value:
        case bool():
            return "boolean" in kinds
        case None:
            return "null" in kinds
        case int():
            return bool({"integer", "number"} & set(kinds))
        case float():
            return "number" in kinds
        case str():
            return "string" in kinds
        case list():
            return "array" in kinds and all(fits(one, schema["items"]) for one in value)
        case dict():
            if "object" not in kinds:
                return False
            known = schema.get("properties", {})
            other = schema.get("additionalProperties")
            return set(schema.get("required", ())) <= value.keys() and all(
                fits(one, known[key]) if key in known else other is not None and fits(one, other)
                for key, one in value.items()
            )
    return False


async def test_the_document_lists_what_is_routed(run_node: Run) -> None:
    async with run_node() as running, running.client() as http:
        said = (await http.get(f"{API}/openapi.json")).json()
        assert said == document()
        assert said["openapi"].startswith("3.1")
        routed = {
            (route.method.lower(), route.resource.canonical)
            for route in running.admin.router.routes()
            if route.method != "HEAD"
        }
        written = {(method, path) for path, methods in said["paths"].items() for method in methods}
        assert {one for one in routed if one[1] not in (*PAGES, *PATHS)} == written
        references = [
            response["content"]["application/json"]["schema"]["$ref"]
            for methods in said["paths"].values()
            for operation in methods.values()
            for code, response in operation["responses"].items()
            if code[0] == "4"
        ]
        assert set(references) == {"#/components/schemas/Error"}


async def test_what_is_answered_is_what_the_document_says(run_node: Run) -> None:
    async with run_node() as running, running.client() as http:
        for endpoint in (*LISTINGS, *READINGS[:1]):
            answer = await http.get(API + endpoint.path)
            schema = document()["paths"][API + endpoint.path]["get"]["responses"]["200"]
            assert fits(answer.json(), schema["content"]["application/json"]["schema"]), endpoint.path
        assert not fits({"items": [{"name": 1}], "next": None}, {"$ref": "#/components/schemas/PeerRow"})
