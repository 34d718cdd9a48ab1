"""Where a request comes from."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings
from django.http import HttpRequest

NETWORK_OF_ONE = (
    64  # the part of an IPv6 address that one customer has; the rest they choose themselves
)


@lru_cache(maxsize=8)
def _networks(proxies: str) -> tuple[Any, ...]:
    return tuple(ip_network(each, strict=False) for each in proxies.replace(",", " ").split())


def _is_proxy(address: str) -> bool:
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found in network for network in _networks(settings.PARLEY.proxies))


def client_address(request: HttpRequest) -> str:
    """Return the address that the request comes from.

    What the header ``X-Forwarded-For`` says counts only as far as our own proxies have written it:
    from its end, up to the first address that is none of theirs.
    """
    address = str(request.META.get("REMOTE_ADDR") or "")
    hops = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    while _is_proxy(address) and hops:
        address = hops.pop().strip() or address
    return address


def rated_address(request: HttpRequest) -> str:
    """Return what rates count by: the address, or the network that an IPv6 customer has."""
    address = client_address(request)
    try:
        found = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ip_network((found, NETWORK_OF_ONE), strict=False))
    return str(found)
