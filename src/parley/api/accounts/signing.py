"""What every endpoint does that takes a password."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import AuthenticationFailed

from parley.accounts.models import User
from parley.api.bases import BaseViewSet
from parley.http.authentication import CHALLENGE
from parley.http.requests import plain
from parley.http.signing_in import check_credentials


class NoSuchAccount(AuthenticationFailed):
    """Nobody by that name, or a wrong password, or deactivated: nobody is told which."""

    default_code = "no_active_account"
    default_detail = "No active account found with the given credentials"


class SigningViewSet(BaseViewSet):
    """Endpoints at which people prove who they are."""

    def prove(self, body: dict[str, Any]) -> User:
        """Return whose credentials these are.

        :raises NoSuchAccount: nobody's.
        :raises TooManyFailures: there were too many wrong ones.
        """
        found = check_credentials(
            plain(self.request),
            login=body["login"],
            password=body["password"],
            door=self.request.path,
        )
        if found is None:
            raise NoSuchAccount
        return found

    def get_authenticate_header(self, _request: Any) -> str:
        """Return the challenge of a 401, also where no credential is looked at."""
        return CHALLENGE
