"""How the scene is shown in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from parley.ops.demo.calls import Call

REFUSED = 400
WIDEST = 100


class Stage:
    """Prints what is done and what is seen."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def act(self, title: str) -> None:
        self.console.print()
        self.console.rule(Text(title, style="bold"), align="left")

    def say(self, sentence: str) -> None:
        self.console.print(Text(sentence, style="italic"))

    def tell(self, call: Call) -> None:
        style = "yellow" if call.status >= REFUSED else "green"
        line = Text.assemble(
            (f"{call.method:<6} ", "cyan"),
            (call.path, ""),
            (f"  {call.status}", style),
            (f"  {call.who}", "dim"),
        )
        self.console.print(line, soft_wrap=True)

    def conversation(self, who: str, seen: dict[str, Any]) -> None:
        """Show a conversation as one person sees it."""
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
        table.add_column(justify="right", style="dim")
        for _ in range(2):
            table.add_column()
        for message in seen["messages"]:
            table.add_row(str(message["seq"]), _name(message["sender"]), _body(message))
        title = f"{who} sees {_title(seen, who)}"
        unread = f"{seen['unread_count']} unread"
        panel = Panel(table, title=Text(title), title_align="left", subtitle=unread, expand=False)
        self.console.print(panel)

    def unread(self, totals: Sequence[tuple[str, dict[str, Any]]]) -> None:
        told = (f"{who}: {total['messages']} unread" for who, total in totals)
        self.console.print(Text("  ·  ".join(told), style="bold"))

    def receipts(self, body: str, receipts: Sequence[dict[str, Any]]) -> None:
        table = Table(title=Text(f"Who has read “{body}”"), box=box.SIMPLE, title_justify="left")
        for heading in ("", "delivered", "read"):
            table.add_column(heading)
        for receipt in receipts:
            marks = ("yes" if receipt[name] else "no" for name in ("delivered", "read"))
            table.add_row(_name(receipt["user"]), *marks)
        self.console.print(table)

    def inboxes(self, inboxes: Sequence[tuple[str, dict[str, Any]]]) -> None:
        table = Table(title="Their inboxes", box=box.SIMPLE, title_justify="left")
        for heading in ("", "conversation", "unread", "last message"):
            table.add_column(heading)
        for who, inbox in inboxes:
            for seen in inbox["results"]:
                last = seen["last_message"]
                named = Text(_title(seen, who))
                table.add_row(who, named, str(seen["unread_count"]), _body(last) if last else "")
        self.console.print(table)

    def addresses(self, url: str, group: str, *, usernames: Sequence[str], password: str) -> None:
        """Say where to look, and as whom."""
        self.act("Look for yourself")
        for address, what in (
            (f"{url}/api-auth/login/?next=/api/conversations/{group}/", "the group, in a browser"),
            (f"{url}/api/", "the whole API, in a browser"),
            (f"{url}/docs/", "every endpoint, to try"),
            (f"{url}/admin/", "for admins: manage.py createsuperuser makes one"),
        ):
            line = Text.assemble((address, "underline"), f"  {what}")
            self.console.print(line, soft_wrap=True)  # whole, to be clicked or copied
        self.say(f"Sign in as {', '.join(usernames)}; everybody's password is {password}")


def _name(user: dict[str, Any]) -> str:
    return str(user["first_name"] or user["username"])


def _title(seen: dict[str, Any], who: str) -> str:
    """Return what a conversation is called: by its title, or by the others who are in it."""
    others = [name for name in map(_name, seen["participants"]) if name != who]
    return seen["title"] or ", ".join(others)


def _body(message: dict[str, Any]) -> Text:
    if message["retracted_at"]:
        return Text("retracted", style="dim italic")
    told = Text(message["message_body"], style="" if message["read"] else "bold")
    if message["edited_at"]:
        told.append("  edited", style="dim italic")
    if message["starred"]:
        told.append("  ★", style="yellow")
    return told
