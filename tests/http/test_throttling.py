"""Rates: how often, counted where, and what happens when Redis is away."""

from datetime import timedelta

import pytest
import time_machine

from parley.http import throttling
from parley.http.throttling import Failures, TooManyFailures, wait_for
from tests.talk import in_parallel


@pytest.fixture
def set_rates(settings):
    def change(**rates: object) -> None:
        settings.PARLEY = settings.PARLEY.model_copy(update=rates)

    return change


def take(scope: str, who: str, times: int) -> list[bool]:
    return [wait_for(scope, who) is None for _ in range(times)]


class TestWaitFor:
    @pytest.mark.parametrize("scope", ["signup", "send", "all"])
    def test_allows_as_many_as_its_setting_says(self, set_rates, scope):
        set_rates(**{f"rate_{scope}": "3/minute"})

        assert take(scope, "ada", 5) == [True, True, True, False, False]
        assert take(scope, "ben", 1) == [True]

    def test_says_how_long_to_wait(self, set_rates):
        set_rates(rate_send="1/minute")
        with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
            take("send", "ada", 1)
            clock.shift(timedelta(seconds=20))
            wait = wait_for("send", "ada")
            clock.shift(timedelta(seconds=wait))

            assert (wait, wait_for("send", "ada")) == (40, None)

    def test_allows_everything_where_rates_are_off(self, set_rates):
        set_rates(rate_all="1/hour", rates=False)

        assert take("all", "ada", 10) == [True] * 10

    def test_counts_right_when_many_come_at_once(self, set_rates):
        set_rates(rate_all="20/hour", rate_signup="20/hour")

        for scope in ("all", "signup"):
            came = in_parallel([lambda s=scope: wait_for(s, "ada")] * 30)
            assert sum(each is None for each in came) == 20

    def test_shares_its_count_through_redis(self, set_rates, redis_url):
        set_rates(rate_all="3/minute", redis_url=redis_url)
        who = f"ada-{id(self)}"
        assert take("all", who, 2) == [True, True]

        throttling._shared.cache_clear()  # as another process has it
        throttling.forget_all()

        assert take("all", who, 2) == [True, False]

    def test_counts_by_itself_while_redis_is_away(self, set_rates):
        set_rates(rate_all="2/minute", redis_url="redis://127.0.0.1:1/0")

        assert take("all", "ada", 3) == [True, True, False]


class TestFailures:
    def fail(self, times: int, account: str = "ada", address: str = "1.1.1.1") -> list[bool]:
        """Say for each attempt with a wrong password whether it was heard."""
        return [self.attempt(account, address, right=False) for _ in range(times)]

    def attempt(self, account: str, address: str, *, right: bool) -> bool:
        failures = Failures(account=account, address=address)
        try:
            failures.check()
            if not right:
                failures.add()
        except TooManyFailures as refused:
            assert 1 <= refused.wait <= 300
            return False
        return True

    def test_are_ten_an_account(self):
        assert self.fail(12) == [True] * 10 + [False] * 2

    def test_count_from_all_addresses_together(self):
        self.fail(9)

        assert self.fail(2, address="2.2.2.2") == [True, False]

    def test_lock_nobody_out_elsewhere(self):
        self.fail(12)

        assert not self.attempt("ada", "1.1.1.1", right=True)
        assert self.attempt("ada", "2.2.2.2", right=True)
        assert self.attempt("ada", "2.2.2.2", right=True)
        assert self.fail(1, address="2.2.2.2") == [False]
        assert not self.attempt("ada", "2.2.2.2", right=True)

    def test_are_fifty_an_address(self):
        for n in range(5):
            assert self.fail(10, account=f"user{n}") == [True] * 10

        assert self.fail(1, account="another") == [False]
        assert not self.attempt("yet another", "1.1.1.1", right=True)
        assert self.attempt("another", "2.2.2.2", right=True)

    def test_do_not_count_successes(self):
        assert all(self.attempt("ada", "1.1.1.1", right=True) for _ in range(100))
        assert self.fail(10) == [True] * 10

    def test_are_forgotten_after_a_while(self):
        with time_machine.travel("2030-01-01T00:00:00Z", tick=False) as clock:
            self.fail(12)
            clock.shift(timedelta(seconds=301))

            assert self.fail(12) == [True] * 10 + [False] * 2

    def test_are_not_counted_where_rates_are_off(self, set_rates):
        set_rates(rates=False)

        assert self.fail(60) == [True] * 60
