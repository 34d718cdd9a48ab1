"""Everything wrong that can be sent to each operation: 4xx, said well, and nothing kept."""

import json
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from django.apps import apps
from django.db import connection

from tests.api.scene import METHODS, OPERATIONS, ROWS, play, resolve, undone
from tests.api.shapes import error, errors

pytestmark = pytest.mark.django_db

HUGE, NEGATIVE, NIL = 10**19, -1, UUID(int=0)
NUL, SURROGATE = "a\0b", "\ud800"
SIMPLE_JWT = tuple(name for name in OPERATIONS if name.startswith(("token_create", "token_re")))
SIMPLE_JWT += ("token_verify_create", "token_blacklist_create")
WITH_BODY = [name for name, op in OPERATIONS.items() if "requestBody" in op.told]
WITH_PATH = [name for name, op in OPERATIONS.items() if "{" in op.path]
QUERIES = [
    (name, parameter["name"])
    for name, op in OPERATIONS.items()
    for parameter in op.told.get("parameters", ())
    if parameter["in"] == "query"
]


MALFORMED = (
    b"{",
    b'{"a": ',
    b"[1]",
    b"null",
    b'"text"',
    b"5",
    b"{'a': 1}",
    b'{"a": NaN}',
    b'{"a": Infinity}',
    b'{"a": -Infinity}',
    b'{"a": 1}x',
    b"\xff\xfe",
    b'{"a": "\xed\xa0\x80"}',
    b'{"a": ' + b"9" * 5000 + b"}",
    b'{"a":' * 40 + b"1" + b"}" * 40,
    b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"unknown": "\\u0000"}',
    b'{"unknown": ["\\ud800"]}',
    b'{"\\udfff": 1}',
)


@pytest.fixture
def scene(person, admin):
    return play(person, admin)


def rows_kept():
    """How many rows each table holds that a request might write."""
    written = [
        model._meta.db_table
        for app in ("accounts", "conversations", "messaging")
        for model in apps.get_app_config(app).get_models()
        if model.__name__ not in {"Generation", "Fence"}
    ]
    counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in written)  # noqa: S608 - our own
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {counts}")
        return dict(zip(written, cursor.fetchone(), strict=True))


class Sender:
    """Sends one operation with something wrong in it, as someone who may use it."""

    def __init__(self, scene, name):
        self.scene, self.name, self.operation = scene, name, OPERATIONS[name]
        self.row = ROWS[name]
        may = [actor for actor in ("owner", "member", "admin") if self.row.expected(actor) < 300]
        self.client = scene.sign_in((may or ["owner"])[0])
        self.path = scene.path(self.operation.path)

    def send(self, content, *, media="application/json", path=None, method=None):
        if isinstance(content, dict):
            content = json.dumps(content).encode()
        return self.client.generic(
            (method or self.operation.method).upper(),
            path or self.path,
            content,
            content_type=media,
        )

    def refused(self, content, status=400, attr=None, **options):
        """Send it; it is refused with this status, in the shape of errors, and nothing is kept."""
        before = rows_kept()
        with undone():
            answer = self.send(content, **options)
            after = rows_kept()

        assert answer.status_code == status, (self.name, content, answer.content[:200])
        assert after == before
        if self.name not in SIMPLE_JWT:
            attrs = {found for _, found in errors(answer)}
            assert attr is None or attr in attrs, (self.name, attr, answer.content[:300])


def properties(name):
    schema = OPERATIONS[name].told["requestBody"]["content"]["application/json"]["schema"]
    return resolve(schema).get("properties", {}), resolve(schema).get("required", [])


def wrong_values(field):
    """Return values that a field of such a schema takes none of."""
    schema = resolve(field)
    kinds = schema.get("type", "string")
    kinds = set(kinds if isinstance(kinds, list) else [kinds])
    if "oneOf" in schema:
        kinds = {"string"}
    wrong = {"object": {"a": 1}, "array": [1], "number": 1.5, "boolean": True, "huge": HUGE}
    if "string" in kinds:
        wrong |= {"nul": NUL, "surrogate": SURROGATE, "too long": "x" * 1_000_000}
        if schema.get("format") == "uuid":
            wrong |= {"malformed": "harbour", "braces": "{" + "0" * 32 + "}", "blank": ""}
    if "integer" in kinds:
        wrong |= {"negative": NEGATIVE, "text": "1", "superscript": "²", "not a number": "NaN"}
    if "array" in kinds:
        wrong |= {"text": "ben", "nul": [NUL], "surrogate": [SURROGATE], "nested": [["ben"]]}
        wrong |= {"too many": ["ben"] * 10_001}
        del wrong["array"]
        wrong["numbers"] = [1]
    if "boolean" in kinds:
        del wrong["boolean"]
        wrong |= {"text": "true"}
    if "object" in kinds:
        del wrong["object"]
    if "null" not in kinds:
        wrong["null"] = None
    return wrong


@pytest.mark.parametrize("name", WITH_BODY)
class TestBody:
    def test_must_hold_what_is_required(self, scene, name):
        sender = Sender(scene, name)
        valid = sender.row.body_in(scene)

        for field in properties(name)[1]:
            if field in valid:
                rest = {key: value for key, value in valid.items() if key != field}
                sender.refused(rest, attr=field)

    def test_is_refused_for_each_wrong_value_of_each_field(self, scene, name):
        sender = Sender(scene, name)
        valid = sender.row.body_in(scene)

        for field, schema in properties(name)[0].items():
            # Of a name and an address one is enough, and the other is not looked at.
            others = {k: v for k, v in valid.items() if (k, field) != ("username", "email")}
            for value in wrong_values(schema).values():
                sender.refused(others | {field: value}, attr=field)

    def test_must_be_a_json_object_that_can_be_kept(self, scene, name):
        sender = Sender(scene, name)

        for content in MALFORMED:
            sender.refused(content)

    def test_must_be_of_a_known_kind(self, scene, name):
        sender = Sender(scene, name)

        for media in ("text/plain", "application/xml", "image/png", "x"):
            sender.refused(sender.row.body_in(scene), status=415, media=media)

    def test_must_not_be_too_large(self, scene, name):
        Sender(scene, name).refused({"a": "x" * 2 * 1024 * 1024}, status=413)

    def test_needs_a_csrf_token_beside_a_cookie(self, scene, name):
        sender = Sender(scene, name)
        sender.client.handler.enforce_csrf_checks = True
        if sender.row.expected("anonymous") < 400 and not name.startswith("session"):
            return  # it looks at no cookie

        sender.refused(sender.row.body_in(scene), status=403)


@pytest.mark.parametrize("name", OPERATIONS)
class TestMethod:
    def test_that_is_not_there_is_refused(self, scene, name):
        sender = Sender(scene, name)
        there = {op.method for op in OPERATIONS.values() if op.path == sender.operation.path}

        for method in (*set(METHODS) - there, "trace", "propfind"):
            sender.refused(b"", status=405, method=method)


@pytest.mark.parametrize("name", WITH_PATH)
class TestAddress:
    @pytest.mark.parametrize(
        ("bad", "status"),
        [
            (["harbour", "0" * 32, str(NIL), "1", "²", "%7B%7D", "a" * 500], 404),
            (["%00", "a%00b"], 400),
        ],
        ids=["nothing", "nul"],
    )
    def test_of_what_is_no_id_is_refused(self, scene, name, bad, status):
        sender = Sender(scene, name)

        for text in bad:
            path = filled(sender, dict.fromkeys(scene.ids, text))
            sender.refused(sender.row.body_in(scene) or {}, status=status, path=path)

    def test_may_leave_dashes_out(self, scene, name):
        sender = Sender(scene, name)
        path = filled(sender, {key: found.hex.upper() for key, found in scene.ids.items()})
        answers = []

        for address in (sender.path, path):
            with undone():
                answers.append(sender.send(sender.row.body_in(scene) or {}, path=address))

        assert answers[0].status_code == answers[1].status_code


def filled(sender, texts):
    """Return the operation's address with these texts where its ids are."""
    path = sender.operation.path
    for key, text in texts.items():
        path = path.replace(f"{{{key}}}", text)
    return path


def wrong_words(name, parameter):
    """Return texts that a query parameter does not take."""
    told = next(p for p in OPERATIONS[name].told["parameters"] if p["name"] == parameter)["schema"]
    if told["type"] == "integer":
        wrong = ["²", "x", "1.5", "", "NaN", "1e9", "0x10", "\u0661"]
        return [*wrong, "-1", str(HUGE), "9" * 5000] if "minimum" in told else wrong
    if told["type"] == "boolean":
        return ["maybe", "", "2", "yes"]
    if "enum" in told:
        return ["nope", "", "x" * 2000]
    if told.get("format") == "uuid":
        return ["harbour", "", "5", "0" * 31]
    return ["x" * 5000] if parameter != "cursor" else ["x", "a.b", "W10.x", "\u00e9", "x" * 5000]


@pytest.mark.parametrize(("name", "parameter"), QUERIES)
class TestQuery:
    def test_is_refused_for_each_wrong_word(self, scene, name, parameter):
        sender = Sender(scene, name)

        for word in wrong_words(name, parameter):
            path = f"{sender.path}?{parameter}={quote(word)}"
            sender.refused(sender.row.body_in(scene) or {}, path=path, attr=parameter)

    def test_must_be_text(self, scene, name, parameter):
        sender = Sender(scene, name)

        for octets in ("%00", "a%00", "%FF", "%ED%A0%80", "%C0%80"):
            path = f"{sender.path}?{parameter}={octets}"
            sender.refused(sender.row.body_in(scene) or {}, path=path)


class TestCrowd:
    def test_of_ten_thousand_strangers_is_refused_in_one_go(
        self, scene, django_assert_max_num_queries
    ):
        many = [str(uuid4()) for _ in range(10_000)]
        sender = Sender(scene, "conversations_create")

        with django_assert_max_num_queries(10):
            answers = [sender.send({"participants": each}) for each in (many, [*many, many[0]])]

        assert [error(answer) for answer in answers] == [
            ("does_not_exist", "participants"),
            ("max_length", "participants"),
        ]

    def test_named_ten_thousand_times_is_one_person(self, scene):
        ben = str(scene.member.user_id)

        made = scene.sign_in("owner").post("/api/conversations/", {"participants": [ben] * 10_000})

        assert (made.status_code, made.json()["participant_count"]) == (201, 2)

    def test_of_recipients_is_found_in_a_few_queries(self, scene, django_assert_max_num_queries):
        body = {"recipients": [f"nobody{n}" for n in range(10_000)], "message_body": "aye"}
        sender = Sender(scene, "messages_create")

        with django_assert_max_num_queries(5):
            answer = sender.send(body)

        assert error(answer) == ("does_not_exist", "recipients")
