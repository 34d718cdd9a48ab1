"""The scenes, by what they disturb; importing them makes them known."""

from faults.scenes import broken, database, live, processes, sending

LOADED = (broken, database, live, processes, sending)
