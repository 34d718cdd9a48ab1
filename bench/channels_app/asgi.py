"""One room: what anyone says is sent to all. The layer is in memory, which is its fastest."""

import json

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    ROOT_URLCONF=__name__,
    SECRET_KEY="of the bench, and of nothing else whatsoever",
)
urlpatterns: list[object] = []
pages = get_asgi_application()


class Room(AsyncWebsocketConsumer):
    async def connect(self):
        await self.channel_layer.group_add("all", self.channel_name)
        await self.accept()
        await self.send(text_data='{"type":"hello"}')

    async def disconnect(self, code):
        await self.channel_layer.group_discard("all", self.channel_name)

    async def receive(self, text_data=None, bytes_data=None):
        text = json.dumps({"type": "message.created", "message_body": json.loads(text_data)})
        await self.channel_layer.group_send("all", {"type": "room.said", "text": text})

    async def room_said(self, event):
        await self.send(text_data=event["text"])


application = ProtocolTypeRouter(
    {"http": pages, "websocket": URLRouter([path("ws/", Room.as_asgi())])}
)
