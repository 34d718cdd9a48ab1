"""The admin's sign-in form."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.forms import AdminAuthenticationForm

LONGEST_LOGIN = 254


class SignInForm(AdminAuthenticationForm):
    """A username or an e-mail address, and a password."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["username"]
        field.label = "Username or e-mail"
        field.max_length = LONGEST_LOGIN  # type: ignore[attr-defined]
        field.widget.attrs["maxlength"] = LONGEST_LOGIN
