"""``conversations`` and ``user_to_user``: view sets, with pages."""

from django.contrib.auth import authenticate, login
from django.db.models import Q
from django.middleware.csrf import get_token
from rest_framework import generics, routers, serializers, viewsets
from rest_framework.authentication import SessionAuthentication
from rest_framework.decorators import api_view
from rest_framework.exceptions import NotFound
from rest_framework.pagination import PageNumberPagination
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework_simplejwt.authentication import JWTAuthentication

from originals.models import Conversation, Person, TalkMessage, UserMessage


class TenAPage(PageNumberPagination):
    page_size = 10


class TwentyAPage(PageNumberPagination):
    page_size = 20


class PersonSerializer(serializers.ModelSerializer):
    class Meta:
        model = Person
        fields = [
            *("user_id", "first_name", "last_name", "email", "phone_number", "role", "created_at")
        ]


class TalkMessageSerializer(serializers.ModelSerializer):
    sender = PersonSerializer(read_only=True)

    class Meta:
        model = TalkMessage
        fields = ["message_id", "sender", "message_body", "sent_at", "conversation"]


class ConversationSerializer(serializers.ModelSerializer):
    participants = PersonSerializer(many=True, read_only=True)
    messages = TalkMessageSerializer(many=True, read_only=True)

    class Meta:
        model = Conversation
        fields = ["conversation_id", "participants", "created_at", "messages"]


class TalkMessageViewSet(viewsets.ModelViewSet):
    authentication_classes = [SessionAuthentication, JWTAuthentication]
    permission_classes = [IsAuthenticated]
    serializer_class = TalkMessageSerializer
    pagination_class = TenAPage

    def get_queryset(self):
        mine = TalkMessage.objects.filter(conversation__participants=self.request.user)
        return mine.select_related("sender").order_by("-sent_at")

    def perform_create(self, serializer):
        talk = serializer.validated_data["conversation"]
        if not talk.participants.filter(pk=self.request.user.pk).exists():
            self.permission_denied(self.request)
        serializer.save(sender=self.request.user)


class ConversationViewSet(viewsets.ModelViewSet):
    authentication_classes = [SessionAuthentication, JWTAuthentication]
    permission_classes = [IsAuthenticated]
    serializer_class = ConversationSerializer
    pagination_class = TenAPage

    def get_queryset(self):
        mine = Conversation.objects.filter(participants=self.request.user)
        return mine.prefetch_related("participants", "messages__sender").order_by("-created_at")


class UserMessageSerializer(serializers.ModelSerializer):
    sender = serializers.SlugRelatedField("username", read_only=True)
    recipient = serializers.SlugRelatedField("username", read_only=True)

    class Meta:
        model = UserMessage
        fields = ["id", "sender", "recipient", "content", "timestamp"]


class UserMessageViewSet(viewsets.ModelViewSet):
    authentication_classes = [SessionAuthentication]
    permission_classes = [IsAuthenticated]
    serializer_class = UserMessageSerializer
    pagination_class = TwentyAPage

    def get_queryset(self):
        mine = Q(sender=self.request.user) | Q(recipient=self.request.user)
        return UserMessage.objects.filter(mine).select_related("sender", "recipient")

    def perform_create(self, serializer):
        called = self.request.data.get("recipient")
        recipient = Person.objects.get(Q(username=called) | Q(email=called))
        serializer.save(sender=self.request.user, recipient=recipient)


class ListMessagesView(generics.ListAPIView):
    authentication_classes = [SessionAuthentication]
    permission_classes = [IsAuthenticated]
    serializer_class = UserMessageSerializer
    pagination_class = TwentyAPage

    def get_queryset(self):
        me = self.request.user
        try:
            other = Person.objects.get(username=self.kwargs["target_identifier"])
        except Person.DoesNotExist:
            raise NotFound("User does not exist") from None
        both = Q(sender=me, recipient=other) | Q(sender=other, recipient=me)
        found = UserMessage.objects.filter(both).select_related("sender", "recipient")
        return found.order_by("timestamp")


@api_view(["POST"])
def sign_in(request):
    user = authenticate(username=request.data["username"], password=request.data["password"])
    if user is None:
        return Response({"error": "Invalid credentials"}, status=401)
    login(request._request, user)
    answer = {"message": "Login successful", "csrf_token": get_token(request._request)}
    return Response(answer)


router = routers.DefaultRouter()
router.register("api/conversations", ConversationViewSet, basename="conversation")
router.register("api/messages", TalkMessageViewSet, basename="talkmessage")
router.register("messages", UserMessageViewSet, basename="usermessage")
