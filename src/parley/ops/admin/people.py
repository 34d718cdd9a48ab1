"""Users: creating them, their roles, letting them in and keeping them out, a new password."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from parley.accounts import operations
from parley.accounts.models import User
from parley.kernel import ids
from parley.kernel.errors import Refusal
from parley.kernel.text import is_storable, name_key
from parley.ops.admin.lists import Search, WalkedAdmin

if TYPE_CHECKING:
    UserModelForm = forms.ModelForm[User]
else:
    UserModelForm = forms.ModelForm

LAST = "\U0010ffff"
PROFILE = ("email", "first_name", "last_name", "phone_number")


class PersonForm(UserModelForm):
    """A form whose filling-in is an operation; what the operation refuses stands at its field."""

    actor: ClassVar[User]
    fields_by_attr: ClassVar[dict[str, str]] = {}  # where the operation's name is another

    def carry_out(self) -> None:
        """Do what the form asks for."""
        raise NotImplementedError

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            self.carry_out()
        except Refusal as refusal:
            attr = self.fields_by_attr.get(refusal.attr or "", refusal.attr)
            self.add_error(attr if attr in self.fields else None, refusal.detail)

    def note(self, action: str, **details: object) -> None:
        operations.record(
            actor=self.actor,
            action=action,
            target_kind="user",
            target_id=self.instance.user_id,
            at=timezone.now(),
            **details,
        )


class AddPerson(PersonForm):
    # Not "password", which is the model's column of hashes.
    password1 = forms.CharField(
        label="Password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="They can change it once they are signed in.",
    )
    fields_by_attr: ClassVar = {"password": "password1"}

    class Meta:
        model = User
        fields = ("username", *PROFILE, "role")

    def carry_out(self) -> None:
        told = dict(self.cleaned_data)
        role, password = told.pop("role"), told.pop("password1")
        self.instance = operations.sign_up(password=password, **told)
        self.note("user.create")
        operations.set_role(actor=self.actor, user=self.instance, role=role)


class ChangePerson(PersonForm):
    class Meta:
        model = User
        fields = (*PROFILE, "role", "is_active")

    def carry_out(self) -> None:
        told = self.cleaned_data
        changed = [name for name in PROFILE if name in self.changed_data]
        with transaction.atomic():  # all of it or nothing
            operations.change_person(
                actor=self.actor,
                user=self.instance,
                role=told["role"],
                is_active=told["is_active"],
            )
            if changed:
                operations.update_profile(
                    user=self.instance, **{name: told[name] for name in changed}
                )
                self.note("user.change_profile", fields=changed)


class NewPassword(forms.Form):
    password = forms.CharField(
        label="New password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "autofocus": True}),
    )


class UserAdmin(WalkedAdmin[User]):
    list_display = ("username", "full_name", "email", "role", "is_active", "created_at")
    list_filter = ("role", "is_active")
    search_help_text = "The beginning of a username or of an e-mail address, or a user_id."
    change_form_template = "ops/admin/user.html"
    readonly_fields = ("user_id", "username", "created_at", "last_login")

    @admin.display(description="name")
    def full_name(self, user: User) -> str:
        return f"{user.first_name} {user.last_name}".strip()

    def search(self, text: str) -> Search:
        """Find people by the range of an index that begins so."""
        term = text.strip()
        user_id = ids.parse(term)
        if user_id is not None:
            return Search(("user_id",), {"user_id": user_id})
        column = "email_key" if "@" in term else "username_key"
        if not term or not is_storable(term):
            return Search((column,), finds_nothing=bool(term))
        key = name_key(term)
        return Search((column,), {f"{column}__gte": key, f"{column}__lt": key + LAST})

    # --- forms

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is None:
            return [(None, {"fields": ("username", "password1", *PROFILE, "role")})]
        return [
            (None, {"fields": ("username", "user_id", "created_at", "last_login")}),
            ("Profile", {"fields": PROFILE}),
            ("Rights", {"fields": ("role", "is_active")}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        return () if obj is None else self.readonly_fields

    def get_form(
        self,
        request: HttpRequest,
        obj: User | None = None,
        change: bool = False,  # noqa: FBT001, FBT002 - Django's signature
        **kwargs: Any,
    ) -> Any:
        kwargs["form"] = AddPerson if obj is None else ChangePerson
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.actor = request.user
        return form

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show or take a form. Not in one transaction, as Django's: passwords are hashed in it."""
        return self._changeform_view(request, object_id, form_url, extra_context)  # type: ignore[attr-defined]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: Any) -> None:
        """Nothing is left to do: the form's operation has done it."""

    # --- passwords

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.reset)
        own = path("<path:object_id>/password/", view, name="accounts_user_password")
        return [own, *super().get_urls()]

    def reset(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Give someone another password; every session, sign-in and token of theirs ends."""
        user = self.get_object(request, object_id)
        if user is None:
            raise Http404
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        form = NewPassword(request.POST or None)
        if request.method == "POST" and form.is_valid() and self._reset(request, user, form):
            return HttpResponseRedirect(reverse("admin:accounts_user_change", args=[user.pk]))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"New password for {user.username}",
            "person": user,
            "form": form,
        }
        return TemplateResponse(request, "ops/admin/password.html", context)

    def _reset(self, request: HttpRequest, user: User, form: NewPassword) -> bool:
        actor: Any = request.user
        try:
            operations.reset_password(
                actor=actor, user=user, new_password=form.cleaned_data["password"]
            )
        except Refusal as refusal:
            form.add_error("password", refusal.detail)
            return False
        messages.success(request, f"{user.username} has a new password, and is signed out.")
        return True
