"""What people may be called, and how they may be reached."""

from __future__ import annotations

import re
import unicodedata
from uuid import UUID

from confusable_homoglyphs import categories, confusables
from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from parley.kernel.errors import Invalid
from parley.kernel.text import TooLong, check_text, name_key

LONGEST_USERNAME = 150
LONGEST_NAME = 150
LONGEST_PHONE_NUMBER = 32
LONGEST_EMAIL = 254
LONGEST_EMAIL_KEY = 600

USERNAME = re.compile(r"[\w.+-]+")
# Letters that nobody sees; all other invisible characters are no letters.
INVISIBLE = frozenset("\u115f\u1160\u3164\uffa0")
# Scripts that are written together (Unicode TS 39, "highly restrictive").
TOGETHER = (
    {"LATIN", "HAN", "HIRAGANA", "KATAKANA"},
    {"LATIN", "HAN", "BOPOMOFO"},
    {"LATIN", "HAN", "HANGUL"},
)


class IllegalUsername(Invalid):
    code = "invalid_username"
    message = "A username has letters, digits and . + - _ only."


class LooksLikeAnId(IllegalUsername):
    message = "A username may not look like an id."


class MixedScripts(IllegalUsername):
    code = "mixed_scripts"
    message = "A username may not mix scripts: the letters of one can pass for those of another."


class UsernameTaken(Invalid):
    code = "unique"
    message = "This username is taken."


class Lookalike(UsernameTaken):
    code = "lookalike"
    message = "This username can be mistaken for another one."


class IllegalEmail(Invalid):
    code = "invalid_email"
    message = "Enter a valid email address."


class EmailTaken(Invalid):
    code = "unique"
    message = "This email address is taken."


def check_username(value: str) -> str:
    """Return the username in its composed form (NFKC), in which it is stored.

    :raises Invalid: it is blank, too long, has other characters than letters, digits and ``.+-_``,
        looks like an id, or mixes scripts.
    """
    check_text(value, attr="username", longest=LONGEST_USERNAME)
    composed = unicodedata.normalize("NFKC", value)
    if len(composed) > LONGEST_USERNAME:
        raise TooLong(
            f"Ensure this field has no more than {LONGEST_USERNAME} characters.", attr="username"
        )
    if not USERNAME.fullmatch(composed) or INVISIBLE.intersection(composed):
        raise IllegalUsername(attr="username")
    if as_id(composed) is not None:
        raise LooksLikeAnId(attr="username")
    if _mixes_scripts(composed):
        raise MixedScripts(attr="username")
    return composed


def as_id(value: str) -> UUID | None:
    """Return the UUID that the text spells, if it spells one."""
    try:
        return UUID(value)
    except ValueError:
        return None


def _mixes_scripts(value: str) -> bool:
    scripts = {name.upper() for name in categories.unique_aliases(value)} - {"COMMON", "INHERITED"}
    return len(scripts) > 1 and not any(scripts <= allowed for allowed in TOGETHER)


def lookalike_keys(username: str) -> set[str]:
    """Return the keys of the Latin names that a name in another script can be mistaken for."""
    if username.isascii():
        return set()
    return {name_key(_in_latin(form)) for form in (username, name_key(username))} - {
        name_key(username)
    }


def _in_latin(value: str) -> str:
    found = confusables.is_confusable(value, greedy=True, preferred_aliases=["latin", "common"])
    latin = {each["character"]: _latin_twin(each["homoglyphs"]) for each in found or []}
    return "".join(latin.get(character) or character for character in value)


def _latin_twin(homoglyphs: list[dict[str, str]]) -> str | None:
    return next((each["c"] for each in homoglyphs if each["c"].isascii()), None)


def check_email(value: str | None) -> str | None:
    """Return the address; an empty one is none.

    :raises IllegalEmail: it is not an address.
    """
    if not value:
        return None
    check_text(value, attr="email", longest=LONGEST_EMAIL)
    try:
        validate_email(value)
    except ValidationError:
        raise IllegalEmail(attr="email") from None
    if len(name_key(value)) > LONGEST_EMAIL_KEY:
        raise IllegalEmail(attr="email")
    return value


def check_name(value: str, *, attr: str) -> str:
    """Return a first or last name as it came; it may be blank.

    :raises Invalid: it is too long, or holds what cannot be stored.
    """
    return check_text(value, attr=attr, longest=LONGEST_NAME, may_be_blank=True)


def check_phone_number(value: str | None) -> str | None:
    """Return the number as it came; an empty one is none.

    :raises Invalid: it is too long, or holds what cannot be stored.
    """
    if not value:
        return None
    return check_text(value, attr="phone_number", longest=LONGEST_PHONE_NUMBER)
