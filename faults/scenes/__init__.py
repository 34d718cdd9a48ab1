"""The scenes, by what they disturb; importing them makes them known."""

from faults.scenes import (
    broken,
    connections,
    database,
    disk,
    durable,
    live,
    processes,
    reading,
    sending,
    slow,
    storm,
)

LOADED = (
    broken,
    connections,
    database,
    disk,
    durable,
    live,
    processes,
    reading,
    sending,
    slow,
    storm,
)
