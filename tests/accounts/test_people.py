"""Seeing people, finding them, and changing them."""

import pytest

from parley.accounts import operations, queries
from parley.accounts.models import AuditEntry, Role, User, new_stamp
from parley.accounts.operations import LastAdmin, PasswordNeeded, WrongPassword
from parley.accounts.queries import NotAnAdmin, UnknownPerson, UserNotFound
from parley.kernel.errors import Invalid
from parley.kernel.ids import new_id
from tests.conftest import PASSWORD
from tests.talk import direct, in_parallel

NOBODY = "018f0000-0000-7000-8000-000000000000"

pytestmark = pytest.mark.django_db


class TestPeople:
    @pytest.mark.parametrize("size", [1, 30])
    def test_cost_one_query_at_any_size(self, ada, person, size, django_assert_num_queries):
        ids = [person(f"user{n}").user_id for n in range(size)]

        with django_assert_num_queries(1):
            found = queries.people(viewer=ada, user_ids=ids)

        assert set(found) == set(ids)

    def test_leave_out_who_does_not_exist(self, ada):
        found = queries.people(viewer=ada, user_ids=[new_id(), ada.user_id])

        assert set(found) == {ada.user_id}

    def test_show_contact_details_to_oneself_and_admins(self, ada, ben, admin):
        def email(viewer: User | None) -> str | None:
            return queries.people(viewer=viewer, user_ids=[ada.user_id])[ada.user_id].email

        assert [email(v) for v in (ada, admin)] == ["ada@example.org"] * 2
        assert [email(v) for v in (ben, None)] == [None] * 2

    def test_show_contact_details_to_everyone_where_so_set(self, settings, ada, ben):
        settings.PARLEY = settings.PARLEY.model_copy(update={"contact_details": "everyone"})

        assert queries.get_person(viewer=ben, user_id=ada.user_id).email == "ada@example.org"

    def test_show_contact_details_to_participants_where_so_set(
        self, settings, ada, ben, mallory, django_assert_num_queries
    ):
        settings.PARLEY = settings.PARLEY.model_copy(update={"contact_details": "participants"})
        direct(ada, ben)

        def email(viewer: User) -> str | None:
            return queries.get_person(viewer=viewer, user_id=ada.user_id).email

        assert (email(ben), email(mallory)) == ("ada@example.org", None)
        with django_assert_num_queries(2):
            queries.people(viewer=ada, user_ids=[ada.user_id, ben.user_id, mallory.user_id])


class TestGetPerson:
    def test_shows_the_deactivated_to_admins_alone(self, ada, admin, person):
        gone = person("gone", is_active=False)

        assert queries.get_person(viewer=admin, user_id=gone.user_id).username == "gone"
        with pytest.raises(UserNotFound):
            queries.get_person(viewer=ada, user_id=gone.user_id)

    def test_knows_nobody_else(self, ada):
        with pytest.raises(UserNotFound):
            queries.get_person(viewer=ada, user_id=new_id())


class TestFindRecipient:
    def test_takes_id_address_and_username(self, ada):
        names = [str(ada.user_id), ada.user_id.hex, "ADA@example.org", "Ada"]

        assert {queries.find_recipient(name=name) for name in names} == {ada.user_id}

    @pytest.mark.parametrize("name", ["ben", "ben@example.org", "", "\0", "\ud800", NOBODY])
    def test_knows_nobody_else(self, ada, name):
        with pytest.raises(UnknownPerson):
            queries.find_recipient(name=name)

    def test_does_not_find_the_deactivated(self, person):
        gone = person("gone", is_active=False)

        for name in ("gone", str(gone.user_id)):
            with pytest.raises(UnknownPerson):
                queries.find_recipient(name=name)
        assert queries.existing(user_ids=[gone.user_id]) == set()


class TestUpdateProfile:
    def test_writes_only_what_changes(self, ada):
        stale = User.objects.get(user_id=ada.user_id)
        operations.update_profile(user=ada, first_name="Ada", phone_number="+44")
        operations.update_profile(user=stale, last_name="Lovelace")

        found = User.objects.get(user_id=ada.user_id)
        assert (found.first_name, found.last_name, found.phone_number) == ("Ada", "Lovelace", "+44")
        assert (found.by_full_name, found.by_last_name) == ("ada lovelace", "lovelace")

    def test_takes_another_address_with_the_password(self, ada):
        operations.update_profile(user=ada, email="new@example.org", current_password=PASSWORD)

        assert operations.check_credentials(login="NEW@example.org", password=PASSWORD) == ada

    def test_takes_the_address_away_with_the_password(self, ada):
        operations.update_profile(user=ada, email=None, current_password=PASSWORD)

        assert User.objects.get(user_id=ada.user_id).email is None

    @pytest.mark.parametrize(
        ("given", "refusal"), [(None, PasswordNeeded), ("wrong", WrongPassword)]
    )
    def test_refuses_another_address_without_it(self, ada, given, refusal):
        with pytest.raises(refusal):
            operations.update_profile(user=ada, email="new@example.org", current_password=given)

        assert User.objects.get(user_id=ada.user_id).email == "ada@example.org"

    def test_takes_the_same_address_as_no_change(self, ada):
        operations.update_profile(user=ada, email="ada@example.org", first_name="Ada")

        assert User.objects.get(user_id=ada.user_id).first_name == "Ada"

    def test_refuses_an_address_that_is_taken(self, ada, ben):
        with pytest.raises(Invalid) as caught:
            operations.update_profile(user=ada, email="BEN@example.org", current_password=PASSWORD)

        assert (caught.value.attr, caught.value.code) == ("email", "unique")

    def test_ends_no_credential(self, ada):
        stamp = ada.security_stamp

        operations.update_profile(user=ada, first_name="Ada")

        assert User.objects.get(user_id=ada.user_id).security_stamp == stamp


class TestRoles:
    def test_are_given_by_admins_and_written_down(self, ada, admin):
        operations.set_role(actor=admin, user=ada, role=Role.HOST)

        assert User.objects.get(user_id=ada.user_id).role == Role.HOST
        entry = AuditEntry.objects.get()
        assert (entry.action, entry.actor, entry.target_id) == (
            "user.change_role",
            admin,
            str(ada.user_id),
        )
        assert entry.details == {"was": "guest", "now": "host"}

    def test_bring_the_admin_site_and_take_it_away(self, ada, admin):
        operations.set_role(actor=admin, user=ada, role=Role.ADMIN)
        assert (ada.is_staff, User.objects.get(user_id=ada.user_id).is_superuser) == (True, True)

        operations.set_role(actor=ada, user=admin, role=Role.GUEST)
        found = User.objects.get(user_id=admin.user_id)
        assert (found.is_staff, found.is_superuser) == (False, False)

    @pytest.mark.parametrize("change", [{"role": Role.ADMIN}, {"is_active": False}])
    def test_are_nobody_elses_to_give(self, ada, ben, change):
        with pytest.raises(NotAnAdmin):
            operations.change_person(actor=ada, user=ben, **change)

        assert not AuditEntry.objects.exists()

    @pytest.mark.parametrize("change", [{"role": Role.GUEST}, {"is_active": False}])
    def test_leave_one_admin_at_least(self, admin, change):
        with pytest.raises(LastAdmin):
            operations.change_person(actor=admin, user=admin, **change)

        assert User.objects.filter(role=Role.ADMIN, is_active=True).exists()

    def test_that_do_not_change_are_not_written_down(self, ada, admin):
        operations.change_person(actor=admin, user=ada, role=Role.GUEST, is_active=True)

        assert not AuditEntry.objects.exists()

    def test_count_as_they_are_now(self, ada, admin, person):
        other = person("other", role=Role.ADMIN)
        operations.set_role(actor=other, user=admin, role=Role.GUEST)
        admin.role = Role.ADMIN  # what a request still holds

        with pytest.raises(NotAnAdmin):
            operations.set_role(actor=admin, user=ada, role=Role.ADMIN)


class TestDeactivation:
    def test_ends_all_that_is_open_for_good(self, ada, admin):
        was = ada.security_stamp

        operations.set_active(actor=admin, user=ada, is_active=False)
        assert operations.check_credentials(login="ada", password=PASSWORD) is None
        operations.set_active(actor=admin, user=ada, is_active=True)

        assert operations.check_credentials(login="ada", password=PASSWORD) == ada
        assert User.objects.get(user_id=ada.user_id).security_stamp != was
        actions = set(AuditEntry.objects.values_list("action", flat=True))
        assert actions == {"user.deactivate", "user.reactivate"}


class TestUser:
    def test_has_flags_that_follow_the_role(self, person):
        user = person("ada", is_staff=True, is_superuser=True)

        assert (user.is_staff, user.is_superuser) == (False, False)

    def test_made_by_the_command_line_is_an_admin(self):
        user = User.objects.create_superuser("root", "root@example.org", PASSWORD)

        assert (user.role, user.is_staff, user.is_superuser) == (Role.ADMIN, True, True)

    def test_has_a_stamp_of_their_own(self):
        assert len({new_stamp() for _ in range(100)}) == 100


@pytest.mark.databases
@pytest.mark.django_db(transaction=True)
class TestAtOnce:
    def test_two_admins_cannot_demote_each_other(self, person):
        one, two = (person(name, role=Role.ADMIN) for name in ("one", "two"))

        came = in_parallel(
            [
                lambda: operations.set_role(actor=one, user=two, role=Role.GUEST),
                lambda: operations.set_role(actor=two, user=one, role=Role.GUEST),
            ]
        )

        assert [type(each) for each in came if each is not None] == [NotAnAdmin]
        assert User.objects.filter(role=Role.ADMIN).count() == 1

    def test_two_changes_of_one_profile_both_count(self, ada):
        def change(**changes: str) -> None:
            operations.update_profile(user=User.objects.get(user_id=ada.user_id), **changes)

        in_parallel([lambda: change(first_name="Ada"), lambda: change(last_name="Lovelace")])

        found = User.objects.get(user_id=ada.user_id)
        assert (found.first_name, found.last_name) == ("Ada", "Lovelace")
        assert found.by_full_name == "ada lovelace"
