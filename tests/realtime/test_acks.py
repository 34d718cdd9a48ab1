"""What a socket is answered to a send: byte for byte what POST answers."""

import asyncio
import json
import re

import httpx
import pytest
from django.core.asgi import get_asgi_application

from parley.api.lane.application import Lane
from parley.conversations.operations import block
from parley.http import throttling
from parley.realtime.service import Live
from tests.realtime.conftest import live, serving
from tests.talk import direct, say

pytestmark = [pytest.mark.databases, pytest.mark.django_db(transaction=True)]

NOBODY = "018f0000-0000-7000-8000-000000000000"
ODD = '  שלום 👩🏽‍🚀 \u2028 \u2029 \x7f \t\n "quoted" <b> '
SECONDS = re.compile(r"\d+ seconds?")  # they pass between the two
REFUSED = [
    '{"recipient":"ben"}',
    '{"recipient":"ben","message_body":""}',
    '{"recipient":"ben","message_body":" \\u2028\\n"}',
    '{"recipient":"ben","message_body":7}',
    '{"recipient":"ben","message_body":"a\\u0000b"}',
    '{"recipient":"ben","message_body":"\\ud800"}',
    '{"recipient":"ben","message_body":NaN}',
    '{"recipient":"ben","message_body":"x","odd":' + "[" * 40 + "]" * 40 + "}",
    '{"recipient":"ben","message_body":"x","reply_to":"\\u2028"}',
    f'{{"recipient":"ben","message_body":"x","reply_to":"{NOBODY}"}}',
    '{"recipient":"ben","message_body":"x","client_id":"%s"}' % ("c" * 300),
    '{"recipient":"ben","message_body":"another","client_id":"taken"}',
    '{"recipient":"nobody \\u2028","message_body":"x"}',
    '{"recipient":"cyd","message_body":"x"}',
    '{"recipients":["ben",7],"message_body":"x"}',
    f'{{"conversation":"{NOBODY}","message_body":"x"}}',
    '{"conversation":"no id","message_body":"x"}',
    f'{{"conversation":"{NOBODY}","recipient":"ben","message_body":"x"}}',
    '{"message_body":"x"}',
    "{}",
]


class Counted(Lane):
    """The express lane; it counts the requests that it is given."""

    requests = 0

    async def __call__(self, scope, receive, send):
        self.requests += 1
        await super().__call__(scope, receive, send)


@pytest.fixture
def lane():
    throttling.forget_all()
    return Counted(get_asgi_application())


@pytest.fixture(params=["lane", "django"])
def address(request, transactional_db, lane):
    """A server with and without the express lane."""
    with serving(Live(lane if request.param == "lane" else get_asgi_application())) as found:
        yield found


async def by_socket(socket, body):
    """Send a body, as it is, in a frame; return the frame that answers it."""
    more = "," if body != "{}" else ""
    await socket.send('{"type":"send","ref":1' + more + body[1:])
    while True:
        text = await socket.recv()
        if json.loads(text)["type"] in {"ack", "error"}:
            return text


def post(address, headers, body):
    more = {"Content-Type": "application/json"}
    return httpx.post(f"http://{address}/api/messages/", content=body, headers=headers | more)


def frame_of(answer):
    """The frame that says what POST answers."""
    if answer.is_success:
        return f'{{"type":"ack","ref":1,"message":{answer.text}}}'
    _, _, errors = answer.text.partition(',"errors":')
    return f'{{"type":"error","ref":1,"errors":{errors}'


class TestAnAck:
    @pytest.mark.parametrize(
        "body", ["hello", '  שלום 👩🏽‍🚀 \u2028 \u2029 \x7f \t\n "quoted" <b> ']
    )
    @pytest.mark.parametrize("first", ["socket", "post"])
    def test_is_what_post_answers(self, address, bearer, ada, ben, body, first):
        talk = direct(ada, ben)
        body = json.dumps({"conversation": str(talk), "message_body": body, "client_id": "once"})
        headers = bearer(ada)

        async def scene():
            async with live(address, headers) as socket:
                if first == "socket":
                    return await by_socket(socket, body), post(address, headers, body)
                answer = post(address, headers, body)
                return await by_socket(socket, body), answer

        ack, answer = asyncio.run(scene())
        assert answer.status_code == (200 if first == "socket" else 201)
        assert ack == frame_of(answer)

    def test_comes_from_the_lane_without_a_request(self, lane, transactional_db, bearer, ada, ben):
        async def scene(address):
            async with live(address, bearer(ada)) as socket:
                return [
                    await by_socket(socket, f'{{"recipient":"ben","message_body":"{n}"}}')
                    for n in range(3)
                ]

        with serving(Live(lane)) as address:
            acks = asyncio.run(scene(address))
        assert [json.loads(ack)["message"]["seq"] for ack in acks] == [1, 2, 3]
        assert lane.requests == 0

    def test_names_the_sender_as_they_are_now(self, address, bearer, ada, ben):
        body, headers = '{"recipient":"ben","message_body":"x"}', bearer(ada)

        def rename():
            fields = {"first_name": "Augusta"}
            answer = httpx.patch(f"http://{address}/api/users/me/", json=fields, headers=headers)
            assert answer.status_code == 200, answer.text

        async def scene():
            async with live(address, headers) as socket:
                await by_socket(socket, body)
                await asyncio.to_thread(rename)
                return json.loads(await by_socket(socket, body))

        assert asyncio.run(scene())["message"]["sender"]["first_name"] == "Augusta"


class TestARefusal:
    def test_is_what_post_answers(self, address, bearer, ada, ben, cyd):
        say(ada, direct(ada, ben), client_id="taken")
        block(blocker=cyd, user_id=ada.user_id)
        headers = bearer(ada)

        async def scene():
            async with live(address, headers) as socket:
                return [await by_socket(socket, body) for body in REFUSED]

        frames = asyncio.run(scene())
        for body, frame in zip(REFUSED, frames, strict=True):
            answer = post(address, headers, body)
            assert answer.status_code in {400, 403, 404, 409}, (body, answer.text)
            assert frame == frame_of(answer), body

    def test_of_a_rate_is_what_post_answers(self, address, bearer, ada, ben, settings):
        settings.PARLEY = settings.PARLEY.model_copy(update={"rate_send": "2/hour"})
        headers, body = bearer(ada), '{"recipient":"ben","message_body":"x"}'

        async def scene():
            async with live(address, headers) as socket:
                return [await by_socket(socket, body) for _ in range(3)]

        frames = asyncio.run(scene())
        assert [json.loads(frame)["type"] for frame in frames] == ["ack", "ack", "error"]
        answer = post(address, headers, body)
        assert answer.status_code == 429
        assert SECONDS.sub("", frames[2]) == SECONDS.sub("", frame_of(answer))
