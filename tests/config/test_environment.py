"""What is read from the environment, and what is refused in one sentence."""

import stat

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from parley.config import environment


@pytest.fixture
def read(monkeypatch, tmp_path):
    """Read the settings from nothing but what is given here."""

    def reading(dotenv: str = "", **variables: str) -> environment.Environment:
        for name in environment.variables():
            monkeypatch.delenv(name, raising=False)
        (tmp_path / ".env").write_text(dotenv, encoding="utf-8")
        monkeypatch.setenv("PARLEY_ENV_FILE", str(tmp_path / ".env"))
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return environment.read()

    return reading


class TestRead:
    def test_has_a_default_for_everything(self, read):
        found = read()

        assert (found.host, found.port, found.workers, found.debug) == ("127.0.0.1", 8000, 1, False)

    def test_takes_what_older_env_files_say(self, read):
        found = read("DJANGO_SECRET_KEY='abc'\nLOGGER_LEVEL=debug\nMYSQL_DATABASE=talk\nOTHER=1\n")

        assert (found.secret_key, found.log_level, found.mysql_database) == ("abc", "DEBUG", "talk")

    def test_takes_a_file_that_begins_with_a_byte_order_mark(self, read):
        assert read("\ufeffPORT=8123\n").port == 8123

    def test_prefers_the_environment_to_the_file(self, read):
        assert read("PORT=8123\n", PORT="8124").port == 8124

    def test_refuses_a_file_that_is_named_and_not_there(self, read, tmp_path):
        with pytest.raises(ImproperlyConfigured, match=r"There is no file .*nowhere"):
            read(PARLEY_ENV_FILE=str(tmp_path / "nowhere"))

    def test_takes_an_empty_value_for_none(self, read):
        assert read(PORT="", DATABASE_URL="").database_url is None

    @pytest.mark.parametrize(
        ("name", "value", "expected"),
        [
            ("PORT", "loud", "should be a valid integer"),
            ("PORT", "65536", "should be less than or equal to 65535"),
            ("WORKERS", "0", "should be greater than or equal to 1"),
            ("LOGGER_LEVEL", "LOUD", "should be 'DEBUG', 'INFO'"),
            ("PARLEY_RATES", "perhaps", "should be a valid boolean"),
            ("PARLEY_RATE_SEND", "often", "expected a number and a period, as 60/hour"),
            ("PARLEY_RATE_ALL", "60/fortnight", "expected a number and a period"),
        ],
    )
    def test_refuses_an_odd_value_by_name(self, read, name, value, expected):
        with pytest.raises(ImproperlyConfigured) as refused:
            read(**{name: value})

        assert str(refused.value).startswith(f"The setting {name}='{value}' is not usable: ")
        assert expected in str(refused.value)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("DATABASE_URL", "oracle://ada:hunter2@db/talk"),
            ("DATABASE_URL", "postgres://ada:hunter2@db:door/talk"),
            ("REDIS_URL", "http://:hunter2@db"),
        ],
    )
    def test_does_not_show_a_secret_that_it_refuses(self, read, name, value):
        with pytest.raises(ImproperlyConfigured) as refused:
            read(**{name: value})

        assert "hunter2" not in str(refused.value)
        assert name in str(refused.value)

    def test_says_one_sentence_a_setting(self, read):
        with pytest.raises(ImproperlyConfigured) as refused:
            read(PORT="loud", WORKERS="0")

        assert len(str(refused.value).splitlines()) == 2


class TestKey:
    def test_is_created_once_for_its_owner_alone(self, read, tmp_path):
        found = read(PARLEY_DATA_DIR=str(tmp_path / "data"))

        first, second = found.key(), found.key()

        assert first == second
        assert len(first) >= environment.SHORT_KEY
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "data" / "secret.key").stat().st_mode) == 0o600
        assert [file.name for file in (tmp_path / "data").iterdir()] == ["secret.key"]

    def test_is_the_one_given(self, read, tmp_path):
        given = read(DJANGO_SECRET_KEY="s", PARLEY_DATA_DIR=str(tmp_path / "data"))

        assert given.key() == "s"
        assert not (tmp_path / "data").exists()

    def test_is_that_of_the_first_of_two_processes(self, tmp_path):
        environment._keep(tmp_path / "secret.key", "first")
        environment._keep(tmp_path / "secret.key", "second")

        assert (tmp_path / "secret.key").read_text() == "first"

    def test_is_not_made_up_anew_where_the_file_was_emptied(self, read, tmp_path):
        (tmp_path / "secret.key").touch()

        with pytest.raises(ImproperlyConfigured, match=r"secret\.key is empty"):
            read(PARLEY_DATA_DIR=str(tmp_path)).key()


class TestFolder:
    def test_that_cannot_be_is_refused(self, read, tmp_path):
        (tmp_path / "file").touch()

        with pytest.raises(ImproperlyConfigured, match=r"data folder .* cannot be written"):
            read(PARLEY_DATA_DIR=str(tmp_path / "file")).folder()


class TestReference:
    def test_is_up_to_date_and_so_is_the_sample(self):
        try:
            call_command("settings_reference", check=True)
        except CommandError as error:
            pytest.fail(str(error))
