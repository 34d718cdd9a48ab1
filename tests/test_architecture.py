"""What import-linter cannot say: no door goes around the domain to the tables."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "parley"
DOORS = ("api", "dialects", "realtime", "web", "ops")
FILES = sorted(file for door in DOORS for file in (SOURCE / door).rglob("*.py"))
TABLES = {"objects", "save", "delete"}


def reached(source: str) -> list[str]:
    """Return each place where code takes hold of a table: the line and what it says."""
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr in TABLES
    ]


class TestDoors:
    @pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
    def test_leave_the_tables_to_queries_and_operations(self, file):
        assert reached(file.read_text(encoding="utf-8")) == []

    def test_would_be_caught(self):
        source = "User.objects.get()\nuser.save()\nmessage.delete()\n"

        assert len(reached(source)) == 3

    def test_may_name_a_method_after_a_verb_of_http(self):
        assert reached("class View:\n    def delete(self, request): ...\n") == []


class TestTree:
    def test_has_no_path_of_one_machine_and_no_package_index(self):
        suspects = ("/root/", "/home/", "pypi.org", "--index-url", "--find-links", "file://")
        locks = sorted(SOURCE.parents[1].glob("requirements*.txt"))

        assert locks
        for lock in locks:
            assert not any(suspect in lock.read_text() for suspect in suspects), lock.name
