"""``bearer_mail``, ``token_mail`` and ``session_mail``: write, and list."""

import json

from django.contrib.auth import authenticate
from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import JsonResponse
from django.urls import path
from rest_framework import serializers
from rest_framework.authentication import TokenAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication

from originals.models import BearerMessage, Person, SessionMessage, TokenMessage


class BearerSerializer(serializers.ModelSerializer):
    class Meta:
        model = BearerMessage
        fields = ["id", "sender", "receiver", "subject", "content", "created_at", "is_read"]


class BearerView(APIView):
    authentication_classes = [JWTAuthentication]
    permission_classes = [IsAuthenticated]

    def post(self, request):
        serializer = BearerSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        serializer.save(sender=request.user)
        return Response(serializer.data, status=201)

    def get(self, request):
        mine = Q(sender=request.user) | Q(receiver=request.user)
        found = BearerMessage.objects.filter(mine).order_by("id")
        return Response(BearerSerializer(found, many=True).data)


class TokenSerializer(serializers.ModelSerializer):
    class Meta:
        model = TokenMessage
        fields = ["id", "message", "subject", "creation_date", "is_read", "sender", "receiver"]


class TokenView(APIView):
    """The gate looks at username and password in the query, where they are."""

    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        given = request.query_params
        if "password" in given:
            found = authenticate(username=given["username"], password=given["password"])
            if found != request.user:
                self.permission_denied(request)

    def post(self, request):
        if request.data.get("sender") != request.user.username:
            return Response({"error": "Authenticated user is not the sender."}, status=401)
        sender = Person.objects.get(username=request.data["sender"])
        receiver = Person.objects.get(username=request.data["receiver"])
        words = {name: request.data[name] for name in ("message", "subject")}
        people = {"sender": sender.pk, "receiver": receiver.pk}
        serializer = TokenSerializer(data=words | people)
        serializer.is_valid(raise_exception=True)
        serializer.save()
        return Response(serializer.data, status=201)

    def get(self, request):
        mine = Q(sender=request.user) | Q(receiver=request.user)
        found = TokenMessage.objects.filter(mine).order_by("id")
        return Response(TokenSerializer(found, many=True).data)


@login_required
def write_message(request):
    body = json.loads(request.body)
    receiver = Person.objects.get(id=body["receiver_id"])
    message = SessionMessage.objects.create(
        sender=request.user, receiver=receiver, body=body["body"], subject=body["subject"]
    )
    return JsonResponse({"message_id": message.id})


@login_required
def messages_per_receiver(request):
    found = SessionMessage.objects.filter(receiver=request.user).order_by("id")
    return JsonResponse({"messages_id": [message.id for message in found]})


urlpatterns = [
    path("api/messaging/write/", BearerView.as_view()),
    path("api/messaging/messages/", BearerView.as_view()),
    path("write/", TokenView.as_view()),
    path("all/", TokenView.as_view()),
    path("messages/write_message", write_message),
    path("messages/messages_per_receiver", messages_per_receiver),
]
