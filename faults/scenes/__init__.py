"""The scenes, by what they disturb; importing them makes them known."""

from faults.scenes import broken, database, disk, durable, live, processes, reading, sending, slow

LOADED = (broken, database, disk, durable, live, processes, reading, sending, slow)
