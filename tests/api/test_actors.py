"""Who may do what: every operation of the OpenAPI document, asked by everyone."""

import pytest

from tests.api.scene import ACTORS, OPERATIONS, ROWS, ask, play, undone

pytestmark = pytest.mark.django_db


@pytest.fixture
def scene(person, admin):
    return play(person, admin, *ACTORS)


def operation_of(name):
    return OPERATIONS[name.partition(" ")[0]]


HIDING = [name for name, row in ROWS.items() if row.expected("outsider") == 404]
KNOWING = [name for name, row in ROWS.items() if row.expected("anonymous") == 401]


class TestTable:
    def test_has_a_row_for_each_operation_and_none_besides(self):
        assert {name.partition(" ")[0] for name in ROWS} == set(OPERATIONS)


class TestOperation:
    @pytest.mark.parametrize("name", ROWS)
    def test_answers_each_actor_as_the_table_says(self, scene, name):
        operation, row = operation_of(name), ROWS[name]
        answers = {}

        for actor in ACTORS:
            with undone():
                answers[actor] = ask(scene, actor, operation, row).status_code

        assert answers == {actor: row.expected(actor) for actor in ACTORS}

    @pytest.mark.parametrize("name", [n for n in HIDING if n != "messages_create"])
    def test_hides_a_thing_as_if_it_did_not_exist(self, scene, name):
        operation, row = operation_of(name), ROWS[name]
        with undone():
            foreign = ask(scene, "outsider", operation, row)
        with undone():
            unknown = ask(scene, "outsider", operation, row, scene.random_path(operation.path))

        assert unknown.status_code == 404
        assert foreign.content == unknown.content

    @pytest.mark.parametrize("name", KNOWING)
    def test_says_how_to_sign_in(self, scene, name):
        operation, row = operation_of(name), ROWS[name]
        answer = ask(scene, "anonymous", operation, row)

        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.json()["errors"][0]["code"] == "not_authenticated"
