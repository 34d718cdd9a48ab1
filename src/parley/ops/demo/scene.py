"""The scene: four people prepare a picnic, and someone who has no business there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parley.ops.demo.calls import Person
from parley.ops.demo.stage import Stage


class Scene:
    """What happens, in order. Names get a suffix, so that it can be played again and again."""

    def __init__(self, url: str, *, suffix: str, password: str, stage: Stage) -> None:
        self.url, self.suffix, self.password, self.stage = url, suffix, password, stage
        self.ada, self.busra, self.yuki, self.omar = self.cast = [
            self._person("Ada"),
            self._person("Büşra", "busra"),
            self._person("ゆき", "yuki"),
            self._person("عمر", "omar"),
        ]
        self.mallory = self._person("Mallory")

    def _person(self, name: str, username: str = "") -> Person:
        username = f"{username or name.lower()}-{self.suffix}"
        return Person(self.url, name, username, self.stage.tell)

    def play(self) -> str:
        """Play all of it, and return the id of the group.

        :raises UnexpectedAnswer: the server did not do its part.
        """
        self.sign_up()
        self.write_directly()
        group = self.talk_in_a_group()
        self.read(group)
        self.change_their_minds(group)
        self.keep_strangers_out(group)
        self.look_back(group)
        return group

    def sign_up(self) -> None:
        self.stage.act("Five people sign up, and sign in")
        for person in (*self.cast, self.mallory):
            account = {"username": person.username, "password": self.password}
            person.post("/api/register/", account | {"first_name": person.name}, expect=201)
            person.token = person.post("/api/token/", account, expect=200)["access"]
            person.user_id = person.get("/api/users/me/")["user_id"]

    def write_directly(self) -> None:
        self.stage.act("Ada finds Büşra and writes to her; Büşra answers")
        found = self.ada.get(f"/api/users/?search={self.busra.username}")["results"]
        letter = {
            "recipient": found[0]["username"],
            "message_body": "Hello Büşra! Shall we have a picnic on Sunday?",
            "client_id": f"picnic-{self.suffix}",
        }
        first = self.ada.post("/api/messages/", letter, expect=201)
        self.stage.say(
            "The answer got lost, so Ada's phone sends the same again: it is not stored twice."
        )
        self.ada.post("/api/messages/", letter, expect=200)
        where = f"/api/conversations/{first['conversation']}/"
        answer = {"message_body": "Çok iyi fikir! Iğdır'dan kayısı getiririm 🍑"}
        self.busra.post(f"{where}messages/", answer, expect=201)
        self._show(where, [self.ada, self.busra])

    def talk_in_a_group(self) -> str:
        self.stage.act("Ada opens a group, and everyone writes in their own script")
        others = [person.user_id for person in self.cast[1:]]
        made = self.ada.post(
            "/api/conversations/", {"participants": others, "title": "Picnic 🧺"}, expect=201
        )
        group = str(made["conversation_id"])
        for person, body in (
            (self.ada, "Sunday at noon, by the old oak? 🌳"),
            (self.yuki, "いいですね！おにぎりを作ります 🍙"),
            (self.omar, "سأحضر الشاي، وسأصل في الساعة ١٢ تمامًا"),
            (self.busra, "Ben de börek yaparım."),
            (self.yuki, "雨が降ったらどうしますか？ ☔"),
        ):
            self._say(person, group, body)
        self._show(f"/api/conversations/{group}/", [self.omar])
        return group

    def read(self, group: str) -> None:
        self.stage.act(
            f"{self.yuki.name} and {self.omar.name} read; one of them keeps the question"
        )
        where = f"/api/conversations/{group}/"
        self.yuki.post(f"{where}read/", {"seq": 5}, expect=200)
        self.omar.post(f"{where}read/", {"seq": 5}, expect=200)
        question = self.omar.get(f"{where}messages/?limit=1")["results"][0]
        self.omar.call("DELETE", f"/api/messages/{question['message_id']}/read/", expect=200)
        self.omar.call("PUT", f"/api/messages/{question['message_id']}/star/", expect=200)
        self.stage.unread([(person.name, person.get("/api/unread/")) for person in self.cast])
        receipts = self.yuki.get(f"/api/messages/{question['message_id']}/receipts/")["results"]
        self.stage.receipts(question["message_body"], receipts)

    def change_their_minds(self, group: str) -> None:
        self.stage.act(f"Ada edits, Büşra takes back, {self.omar.name} removes for himself alone")
        said = self.ada.get(f"/api/conversations/{group}/messages/?after=0")["results"]
        invitation, _, _, promise, rain = (f"/api/messages/{m['message_id']}/" for m in said)
        edited = {"message_body": "Sunday at one, by the old oak? 🌳"}
        self.ada.call("PATCH", invitation, edited, expect=200)
        self.busra.call("DELETE", f"{promise}?for=everyone", expect=204)
        self.omar.call("DELETE", rain, expect=204)

    def keep_strangers_out(self, group: str) -> None:
        self.stage.act("Mallory has heard of the group, and asks for it: for her it does not exist")
        self.mallory.get(f"/api/conversations/{group}/", expect=404)
        self.mallory.get("/api/conversations/")

    def look_back(self, group: str) -> None:
        self.stage.act("What each of them sees now")
        self._show(f"/api/conversations/{group}/", self.cast)
        inboxes = [(person.name, person.get("/api/conversations/")) for person in self.cast]
        self.stage.inboxes(inboxes)

    def _say(self, person: Person, group: str, body: str) -> None:
        words = {"message_body": body}
        person.post(f"/api/conversations/{group}/messages/", words, expect=201)

    def _show(self, where: str, people: Sequence[Person]) -> None:
        for person in people:
            seen: dict[str, Any] = person.get(where)
            self.stage.conversation(person.name, seen)
