"""A sample is what people would have left behind: every rule of the domain holds in it."""

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Count, F, Max, Q

from parley.accounts.models import User
from parley.conversations.models import Conversation, Kind, MemberRole, Participant
from parley.messaging import queries
from parley.messaging.models import Flag, Mark, Message, flagged
from parley.messaging.sync import sync
from parley.ops.sample.society import shares
from tests.talk import history, say, unread

# The loader commits, as it does in use.
pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def load(capsys):
    def call(users=40, conversations=60, messages=900, **options):
        call_command(
            "load_sample", users=users, conversations=conversations, messages=messages, **options
        )
        return capsys.readouterr().out

    return call


class TestLoadSample:
    def test_loads_exactly_as_much_as_it_was_told(self, load):
        told = load()

        counts = (User.objects.count(), Conversation.objects.count(), Message.objects.count())
        assert counts == (40, 60, 900)
        assert "40 people" in told

    def test_adds_when_it_is_run_again(self, load):
        load()
        load(users=5, conversations=3, messages=10)

        assert (User.objects.count(), Message.objects.count()) == (45, 910)

    def test_plans_the_same_society_from_the_same_seed(self, load):
        bodies = []
        for seed in (1, 1, 2):
            before = set(Message.objects.values_list("pk", flat=True))
            load(users=6, conversations=4, messages=40, seed=seed)
            new = Message.objects.exclude(pk__in=before)
            bodies.append(sorted(new.values_list("message_body", flat=True)))

        assert bodies[0] == bodies[1] != bodies[2]

    def test_is_lopsided(self, load):
        load(messages=2_000)

        lengths = sorted(Conversation.objects.values_list("last_seq", flat=True))
        assert lengths[-1] > 20 * lengths[len(lengths) // 2]
        assert set(Conversation.objects.values_list("kind", flat=True)) == {*Kind.values}

    def test_lets_nobody_sign_in_unless_it_is_given_a_password(self, load):
        load(users=2)
        load(users=2, password="a lamp in the corner")

        usable = [user.has_usable_password() for user in User.objects.order_by("user_id")]
        assert sorted(usable) == [False, False, True, True]

    @pytest.mark.parametrize("odd", ["-1", "many"])
    def test_refuses_odd_numbers(self, odd):
        with pytest.raises(CommandError):
            call_command("load_sample", "--users", odd)

    def test_can_load_people_who_say_nothing(self, load):
        load(users=3, conversations=0, messages=0)

        assert (User.objects.count(), Conversation.objects.count()) == (3, 0)


class TestWhatIsLoaded:
    @pytest.fixture(autouse=True)
    def loaded(self, load):
        load()

    def test_numbers_messages_without_a_gap_in_the_order_of_time(self):
        for conversation in Conversation.objects.all():
            said = list(conversation.messages.order_by("seq").values_list("seq", "sent_at"))
            assert [seq for seq, _ in said] == list(range(1, conversation.last_seq + 1))
            assert [at for _, at in said] == sorted({at for _, at in said})
            if said:
                assert conversation.active_at == said[-1][1]

    def test_gives_every_change_a_revision_of_its_own(self):
        highest = Conversation.objects.annotate(highest=Max("messages__revision"))

        assert not highest.filter(highest__gt=F("revision")).exists()
        assert not Message.objects.filter(seq__gt=F("revision")).exists()

    def test_counts_the_members(self):
        live = Count("participants", filter=Q(participants__left_at=None) | Q(kind=Kind.DIRECT))
        for conversation in Conversation.objects.annotate(live=live):
            assert conversation.member_count == conversation.live

    def test_gives_every_group_an_owner_and_direct_conversations_none(self):
        owners = Participant.objects.filter(member_role=MemberRole.OWNER, left_at=None)

        assert set(owners.values_list("conversation_id", flat=True)) == set(
            Conversation.objects.filter(kind=Kind.GROUP).values_list("conversation_id", flat=True)
        )

    def test_marks_nothing_where_no_mark_may_stand(self):
        for mark in Mark.objects.all():
            mine = Participant.objects.get(
                user_id=mark.user_id, conversation_id=mark.conversation_id
            )
            if mark.flags in flagged(Flag.READ):
                assert mark.seq > mine.watermark
            if mark.flags in flagged(Flag.KEPT):
                assert mark.seq <= mine.watermark
            assert mark.version <= mine.version

    def test_counts_what_is_unread_as_a_recount_does(self):
        for user in User.objects.all():
            unread(user)

    def test_is_shown_by_every_list(self):
        for user in User.objects.order_by("user_id")[:5]:
            for page in (
                queries.list_conversations(viewer=user, position=None, size=200),
                queries.list_messages(viewer=user, size=200),
                queries.list_messages(viewer=user, starred_only=True, size=200),
                queries.list_messages(viewer=user, unread_only=True, size=200),
            ):
                assert len(page.items) <= 200

    def test_goes_on_from_there(self):
        mine = Participant.objects.filter(left_at=None).select_related("conversation", "user")[0]
        before = sync(viewer=mine.user, limit=200)
        while before.more:
            before = sync(viewer=mine.user, cursor=before.cursor, limit=200)

        said = say(mine.user, mine.conversation_id, "and now?")

        assert said.seq == mine.conversation.last_seq + 1
        assert history(mine.user, mine.conversation_id)
        news = sync(viewer=mine.user, cursor=before.cursor)
        assert said.message_id in {
            message.message_id for seen in news.conversations for message in seen.messages
        }


class TestShares:
    @pytest.mark.parametrize(("count", "total"), [(1, 10), (7, 100), (50, 3), (3, 0)])
    def test_add_up_and_fall(self, count, total):
        parts = shares(count, total, skew=0.9)

        assert (len(parts), sum(parts)) == (count, total)
        assert max(parts) - parts[0] <= 1
