"""The OpenAPI document: what each operation takes, answers and refuses, said once and beside the
code that does it.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema as BaseAutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from drf_standardized_errors.handler import exception_handler
from rest_framework import exceptions, serializers
from rest_framework.serializers import Serializer

from parley.api.serializers import BodySerializer, PeopleField, Shown
from parley.http import problems, refusals
from parley.http.parameters import CURSOR, LIMIT, USERS, Parameter
from parley.http.request_ids import HEADER
from parley.kernel import errors

Action = TypeVar("Action", bound=Callable[..., Any])
Kind = TypeVar("Kind", bound=Exception)
Refusals = Sequence[type[errors.Refusal]]

# What fields say in REST framework's own words, by code.
OF_FIELDS: dict[str, Any] = {
    "null": serializers.Field,
    "required": serializers.Field,
    "max_value": serializers.IntegerField,
    "not_a_list": serializers.ListField,
    "overflow": serializers.DateTimeField,
}
FIELD = "`invalid`, `required`, `null`, `blank`, `max_length` …: a field is wrong; `attr` names it."
PAGED: tuple[Parameter[Any], ...] = (LIMIT, CURSOR, USERS)


class ErrorItemSerializer(Serializer[Any]):
    code = serializers.CharField(help_text="For programs.")
    detail = serializers.CharField(help_text="For people.")
    attr = serializers.CharField(allow_null=True, help_text="The field that it is about.")


class ErrorSerializer(Serializer[Any]):
    """Why a request was refused, or that it failed."""

    type = serializers.ChoiceField(["validation_error", "client_error", "server_error"])
    errors = ErrorItemSerializer(many=True)  # type: ignore[assignment]  # the name on the wire


def operation(
    *,
    answers: Mapping[int, Any],
    body: type[BodySerializer] | None = None,
    takes: Iterable[Parameter[Any]] = (),
    refuses: Refusals = (),
    idempotent: bool = False,
) -> Callable[[Action], Action]:
    """Say what an action of a view set takes and answers; its body is then read with ``body``.

    ``idempotent``: a retry under the same ``Idempotency-Key`` does nothing a second time.
    """

    def described(action: Action) -> Action:
        action.body = body  # type: ignore[attr-defined]
        action.refuses = refuses  # type: ignore[attr-defined]
        summary, _, description = (inspect.getdoc(action) or "").partition("\n\n")
        parameters = [documented(parameter) for parameter in takes]
        return extend_schema(
            summary=summary,
            description=description,
            request=body,
            responses={code: shape or OpenApiResponse() for code, shape in answers.items()},
            parameters=parameters + ([IDEMPOTENCY_KEY] if idempotent else []),
        )(action)

    return described


IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 64},
    OpenApiParameter.HEADER,
    description="The same as `client_id` in the body: names this message for retries.",
)


def documented(parameter: Parameter[Any]) -> OpenApiParameter:
    return OpenApiParameter(parameter.name, parameter.shape(), description=parameter.says)


@cache
def page_of(
    item: type[Shown], *, as_field: type[serializers.Field[Any, Any, Any, Any]] | None = None
) -> type[Serializer[Any]]:
    """Return the serializer of a page of such items; ``as_field`` is for those of several forms."""
    name = item.__name__.removesuffix("Serializer")
    fields = {
        "next": serializers.URLField(allow_null=True),
        "previous": serializers.URLField(allow_null=True),
        "results": serializers.ListField(child=as_field()) if as_field else item(many=True),
        "users": PeopleField(required=False),
        "__doc__": f"A page of a list: {item.__doc__}",
    }
    return type(f"{name}PageSerializer", (Serializer,), fields)


# --- what any operation may answer besides


def _said(kind: type[exceptions.APIException]) -> str:
    return f"`{kind.default_code}`: {kind.default_detail}"


def _told(kind: type[errors.Refusal]) -> str:
    return f"`{kind.code}`: {kind.message}"


def _status(kind: type[errors.Refusal]) -> int:
    return next((s for base, s in refusals.STATUSES.items() if issubclass(kind, base)), 400)


class AutoSchema(BaseAutoSchema):
    """Adds the answers that follow from what an operation is: with a body, for those signed in, of
    one thing.
    """

    def get_override_parameters(self) -> list[Any]:
        wait = "How many seconds to wait before trying again."
        headers = (
            (HEADER, True, "Names this request; the one sent, if it was sane."),
            ("Retry-After", [429, 503], wait),
            ("WWW-Authenticate", [401], "How to prove who you are."),
        )
        return [
            OpenApiParameter(name, str, OpenApiParameter.HEADER, description=says, response=where)
            for name, where, says in headers
        ]

    def _is_list_view(self, serializer: Any = None) -> bool:
        """Whether it is called a list; what it answers is a page, and never a bare array."""
        return serializer is None and super()._is_list_view()

    def map_parsers(self) -> list[str]:
        """Forms are for the browsable API; everyone else writes JSON."""
        return ["application/json"]

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        answers: dict[str, Any] = super()._get_response_bodies(direction)
        if self.view.get_exception_handler() is not exception_handler:
            return answers
        for code, words in sorted(self._refusals().items()):
            if str(code) not in answers:
                shape = OpenApiResponse(
                    ErrorSerializer, description="\n".join(map("- {}".format, words))
                )
                answers[str(code)] = self._get_response_for_code(  # type: ignore[no-untyped-call]
                    shape, str(code), ["application/json"], direction
                )
        return answers

    def _refusals(self) -> dict[int, list[str]]:
        """Return what may be refused, by status."""
        found: dict[int, list[str]] = defaultdict(list)
        action = getattr(self.view, getattr(self.view, "action", None) or self.method.lower(), None)
        for kind in getattr(action, "refuses", ()):
            found[_status(kind)].append(_told(kind))
        for code, words in self._general():
            if words not in found[code]:
                found[code].append(words)
        return found

    def _general(self) -> Iterator[tuple[int, str]]:
        parameters = self._get_parameters()
        if self.method in {"POST", "PUT", "PATCH"} and self.get_request_serializer() is not None:
            yield 400, FIELD
            yield 400, _said(exceptions.ParseError)
            yield 413, _said(problems.RequestTooLarge)
            yield 415, _said(exceptions.UnsupportedMediaType)
        if any(p["in"] == "query" for p in parameters):
            yield 400, "`invalid`: a query parameter is wrong; `attr` names it."
        if any(p["in"] == "path" for p in parameters):
            yield 404, _told(errors.NotFound)
        if any(self.get_auth()):
            yield 401, _said(exceptions.NotAuthenticated)
            yield 403, _said(exceptions.PermissionDenied)
        for kind in (exceptions.MethodNotAllowed, exceptions.NotAcceptable, exceptions.Throttled):
            yield kind.status_code, _said(kind)
        yield 503, _told(errors.Unavailable)
        if self.method not in {"GET", "HEAD"}:
            yield 507, _said(problems.Full)


class ExactTextExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Text's bounds, which depend on a setting."""

    target_class = "parley.api.fields.ExactText"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        shortest = {} if self.target.allow_blank else {"minLength": 1}
        return {"type": "string", **shortest, "maxLength": self.target.longest}


def list_codes(result: dict[str, Any], **_: object) -> dict[str, Any]:
    """Write into the document every code that a refusal can have."""
    code = result["components"]["schemas"]["ErrorItem"]["properties"]["code"]
    words = {
        *map(_told, _all(errors.Refusal)),
        *map(_said, _all(exceptions.APIException)),
        *(f"`{name}`: {kind.default_error_messages[name]}" for name, kind in OF_FIELDS.items()),
    }
    lines = sorted(map("- {}".format, words))
    code["description"] = "For programs; more may be added.\n\n" + "\n".join(lines)
    return result


def _all(kind: type[Kind]) -> Iterator[type[Kind]]:
    for each in kind.__subclasses__():
        yield each
        yield from _all(each)
