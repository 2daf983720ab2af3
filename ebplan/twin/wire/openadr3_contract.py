"""Messages of OpenADR 3 against the published contract, an OpenAPI document that the user supplies.

The document is not part of this package: the OpenADR Alliance hands it out against registration.
Paths, parameters and bodies are checked. Discriminators are not: the document of 3.0.1 names the
values (``EVENT``) and maps them to no schema (``event``); the enumerations that every object has
say the same. Nor is who may do what, which is the server's to check.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ebplan.errors import InputError
from ebplan.twin.wire.openadr3_vtn import BASE, Exchange

if TYPE_CHECKING:
    from openapi_core import OpenAPI

NOTIFICATION = "notification"
"""Name of the schema of what is posted to a webhook."""


class Contract:
    """A published contract.

    Args:
        path: its OpenAPI document, YAML or JSON.

    Raises:
        InputError: it is missing, or is no OpenAPI document of OpenADR 3.
    """

    def __init__(self, path: Path) -> None:
        self._api = _read(path)
        self._spec: dict[str, Any] = self._api.spec.read_value()
        server = urlsplit(self._spec["servers"][0]["url"])
        self._host = f"{server.scheme}://{server.netloc}"
        self._base = server.path.rstrip("/")
        self.version = str(self._spec["info"]["version"])
        """Version that it says it is of."""
        if not self.version.startswith("3.0."):
            raise _unusable(self.version, "the contract of 3.0.1", "name the document of 3.0.1")

    def faults(self, exchange: Exchange) -> list[str]:
        """Return what is wrong with a request and its answer, a line each."""
        from openapi_core.testing import MockRequest, MockResponse

        request = MockRequest(
            self._host,
            exchange.method.lower(),
            self._base + exchange.path.removeprefix(BASE),
            args=dict(exchange.query),
            data=exchange.asked or None,
            content_type=exchange.content_type,
        )
        answer = MockResponse(exchange.answered, exchange.status, content_type=exchange.answer_type)
        what = f"{exchange.method} {exchange.path.removeprefix(BASE)}"
        return [
            *(f"{what}: request: {_told(e)}" for e in self._api.iter_request_errors(request)),
            *(
                f"{what}: answer {exchange.status}: {_told(e)}"
                for e in self._api.iter_response_errors(request, answer)
            ),
        ]

    def notification_faults(self, told: dict[str, Any]) -> list[str]:
        """Return what is wrong with a notification, a line each."""
        from openapi_schema_validator import OAS30Validator

        schema = {
            "$ref": f"#/components/schemas/{NOTIFICATION}",
            "components": self._spec["components"],
        }
        sent = json.loads(json.dumps(told))
        return [
            f"notification of {told.get('operation')}: {error.json_path}: {error.message}"
            for error in OAS30Validator(schema).iter_errors(sent)
        ]


def _read(path: Path) -> OpenAPI:
    try:
        from openapi_core import OpenAPI
        from openapi_core.exceptions import OpenAPIError
        from yaml import YAMLError
    except ImportError:
        raise _unusable(
            "openapi-core", "the library openapi-core", "pip install openapi-core"
        ) from None
    try:
        whole = OpenAPI.from_file_path(str(path)).spec.read_value()
        known = whole["components"]["schemas"]
        api: OpenAPI = OpenAPI.from_dict(_without(whole, "discriminator", "security"))
    except (OSError, ValueError, KeyError, TypeError, YAMLError, OpenAPIError) as error:
        raise _unusable(str(path), "an OpenAPI document", " ".join(str(error).split())) from None
    if NOTIFICATION not in known:
        raise _unusable(str(path), "the OpenAPI document of OpenADR 3", "name another file")
    return api


def _without(node: Any, *names: str) -> Any:
    """Return a document without the parts of these names."""
    if isinstance(node, dict):
        return {key: _without(part, *names) for key, part in node.items() if key not in names}
    return [_without(part, *names) for part in node] if isinstance(node, list) else node


def _told(error: BaseException) -> str:
    """Return what is wrong, down to the field where that is known."""
    causes: Iterable[Any] = getattr(error.__cause__ or error, "schema_errors", ())
    found = [f"{cause.json_path}: {cause.message}" for cause in causes]
    return "; ".join(found) or str(error)


def _unusable(value: str, allowed: str, remedy: str) -> InputError:
    return InputError(field="schema", value=value, allowed=allowed, remedy=remedy)
