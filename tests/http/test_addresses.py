"""Where a request comes from, and whom to believe about it."""

import pytest
from django.test import RequestFactory

from parley.http.addresses import client_address, rated_address


@pytest.fixture
def behind(settings):
    """Say which proxies are ours."""

    def be(proxies: str) -> None:
        settings.PARLEY = settings.PARLEY.model_copy(update={"proxies": proxies})

    return be


def request(address: str, forwarded: str | None = None, **headers: str):
    given = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    return RequestFactory().get("/", REMOTE_ADDR=address, headers=given | headers)


class TestClientAddress:
    @pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Client-IP"])
    def test_believes_no_header_of_a_stranger(self, header):
        found = client_address(request("203.0.113.9", **{header: "198.51.100.1"}))

        assert found == "203.0.113.9"

    @pytest.mark.parametrize(
        ("forwarded", "found"),
        [
            ("198.51.100.1", "198.51.100.1"),
            ("1.1.1.1, 198.51.100.1", "198.51.100.1"),
            ("198.51.100.1, 10.0.0.7", "198.51.100.1"),
            ("1.1.1.1, 198.51.100.1 , 10.0.0.7,10.0.0.8", "198.51.100.1"),
            ("", "10.0.0.1"),
            (None, "10.0.0.1"),
            ("10.0.0.3", "10.0.0.3"),
            ("1.1.1.1, nonsense", "nonsense"),
        ],
    )
    def test_believes_what_our_own_proxies_have_written(self, behind, forwarded, found):
        behind("10.0.0.0/8, 192.0.2.1")

        assert client_address(request("10.0.0.1", forwarded)) == found

    def test_believes_a_single_proxy(self, behind):
        behind("192.0.2.1")

        assert client_address(request("192.0.2.1", "198.51.100.1")) == "198.51.100.1"
        assert client_address(request("192.0.2.2", "198.51.100.1")) == "192.0.2.2"


class TestRatedAddress:
    @pytest.mark.parametrize(
        ("address", "rated"),
        [
            ("203.0.113.9", "203.0.113.9"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("", "unknown"),
            ("unix:", "unknown"),
        ],
    )
    def test_is_what_one_customer_has(self, address, rated):
        assert rated_address(request(address)) == rated
