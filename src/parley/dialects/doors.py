"""What the dialects' views share: signing in, the rates, and errors in the dialect's own words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException, NotFound
from rest_framework.exceptions import PermissionDenied as Forbidden
from rest_framework.parsers import BaseParser
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.views import APIView

from parley.accounts.models import User
from parley.dialects.problems import Problem
from parley.http import paging
from parley.http.authentication import (
    BearerAuthentication,
    SessionAuthentication,
    TokenAuthentication,
)
from parley.http.parsers import FormParser, LoudJSONParser, MultiPartParser
from parley.http.refusals import as_api_exception, headers_of, report
from parley.http.requests import plain
from parley.http.throttling import RequestThrottle
from parley.http.voices import Voice
from parley.kernel.paging import Position

Json = dict[str, Any]
RenderNo = Callable[[Problem], Json]

COMPACT = (",", ":")
SPACED = (", ", ": ")


class Worded(APIException):
    """An answer that the dialect has worded already: its status and body."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__()
        self.status_code = status
        self.body = body


class SpacedJSONRenderer(JSONRenderer):
    """JSON as Django's ``JsonResponse`` writes it: ASCII, with spaces after ``,`` and ``:``."""

    compact = False
    ensure_ascii = True


class Door(APIView):
    """A view of a dialect. Whoever is refused anything hears of it in the dialect's shape."""

    authentication_classes: Sequence[type[BaseAuthentication]] = (
        BearerAuthentication,
        TokenAuthentication,
        SessionAuthentication,
    )
    permission_classes: Sequence[type[BasePermission]] = (IsAuthenticated,)
    throttle_classes: Sequence[type[BaseThrottle]] = (RequestThrottle,)
    parser_classes: Sequence[type[BaseParser]] = (LoudJSONParser, FormParser, MultiPartParser)
    renderer_classes: Sequence[type[BaseRenderer]] = (JSONRenderer,)
    schema = None

    @staticmethod
    def render_no(no: Problem) -> Json:
        """Return the body of an error, in the words of the dialect that it is a view of."""
        raise NotImplementedError

    @property
    def viewer(self) -> User:
        """Who asks. Views that anyone may use do not ask for it."""
        user = self.request.user
        assert isinstance(user, User)  # noqa: S101 - the permission has seen to it
        return user

    def perform_content_negotiation(
        self,
        request: Request,
        force: bool = False,  # noqa: FBT001, FBT002 - as REST framework calls it
    ) -> Any:
        """There is one form of an answer; a client gets it whatever it says that it accepts."""
        renderer = self.get_renderers()[0]
        return renderer, renderer.media_type

    def get_exception_handler(self) -> Callable[[Exception, Json], Response]:
        return self._answer

    def _answer(self, error: Exception, context: Json) -> Response:
        answer: Any = as_api_exception(error)
        report(error, answer, plain(self.request))
        is_worded = isinstance(answer, Worded)
        body = answer.body if is_worded else self.render_no(problem_of(answer))
        return Response(body, status=answer.status_code, headers=headers_of(answer))

    def finalize_response(
        self, request: Request, response: Any, *args: object, **kwargs: object
    ) -> Any:
        """Whatever is answered is for one person, or is a change: no cache may keep it."""
        found = super().finalize_response(request, response, *args, **kwargs)
        found.headers["Cache-Control"] = "no-store"
        return found

    @property
    def sent(self) -> Mapping[str, Any]:
        """The fields of the request's body.

        :raises ParseError: there are none in it.
        """
        found: Any = self.request.data
        return cast(Mapping[str, Any], found)

    # --- pages

    def position(self, *, scope: str) -> Position | None:
        """Return where the asked part of a list begins.

        :raises BadCursor: the cursor was not given out for this list.
        """
        return paging.read_cursor(self.request.query_params, scope=scope)

    def link(self, older: Position | None, *, scope: str) -> dict[str, str]:
        """Return the header (RFC 8288) that leads from a bare list to what came before, if any."""
        if older is None:
            return {}
        request = plain(self.request)
        # Only the cursor is kept of the query: there may be credentials in it.
        cursor = paging.write_cursor(older, scope=scope)
        address = request.build_absolute_uri(request.path)
        return {"Link": f'<{address}?cursor={cursor}>; rel="next"'}


class Nowhere(Door):
    """Below a dialect's paths there is nothing else, whatever the method."""

    authentication_classes = ()
    permission_classes = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Answer before anything else is looked at, but count the request.

        :raises NotFound: always.
        """
        self.check_throttles(request)
        raise NotFound


def refuse_cross_site(request: HttpRequest) -> None:
    """Refuse what a browser sends because of another site, where a GET changes something.

    :raises Forbidden: the browser says that it is so.
    """
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise Forbidden("Cross-site requests are refused.")


def problem_of(answer: APIException) -> Problem:
    """Return what an answer says, apart from any shape."""
    detail: Any = answer.detail
    fields: dict[str, list[str]] = {}
    if isinstance(detail, dict):
        fields = {str(name): [str(each) for each in _listed(said)] for name, said in detail.items()}
        detail = next(iter(_listed(detail.values())), "")
    first = next(iter(_listed(detail)), "")
    code = getattr(first, "code", None) or answer.default_code
    return Problem(answer.status_code, str(code), str(first), fields)


def _listed(said: Any) -> list[Any]:
    """Return the sentences in what REST framework keeps of an error: one, several, or nested."""
    if isinstance(said, dict):
        said = said.values()
    elif isinstance(said, str):
        return [said]
    return [each for part in said for each in _listed(part)]


def voice(render_no: RenderNo, separators: tuple[str, str] = COMPACT) -> Voice:
    """Return what words errors that arise before any view, as bytes of JSON."""

    def write(answer: APIException) -> bytes:
        body = render_no(problem_of(answer))
        is_ascii = separators == SPACED
        text = json.dumps(body, cls=JSONEncoder, ensure_ascii=is_ascii, separators=separators)
        return text.encode()

    return write
