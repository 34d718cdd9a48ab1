"""``manage.py test``, for those who are used to it."""

from argparse import ArgumentParser

from parley.ops.testing import PytestRunner


def arguments(*given):
    """What pytest is started with when Django's command is given this."""
    parser = ArgumentParser()
    PytestRunner.add_arguments(parser)
    return PytestRunner(**vars(parser.parse_args(given))).arguments


class TestRunner:
    def test_takes_every_test_unless_told_otherwise(self):
        assert arguments() == []

    def test_stops_at_the_first_failure_if_asked(self):
        assert arguments("--failfast") == ["-x"]

    def test_picks_tests_by_any_of_the_words_given(self):
        assert arguments("-k", "retry", "-k", "unread") == ["-k", "retry or unread"]

    def test_is_as_talkative_as_asked(self):
        assert PytestRunner(verbosity=0).arguments == ["-q"]
        assert PytestRunner(verbosity=3).arguments == ["-vv"]
