"""The scenes, by what they disturb; importing them makes them known."""

from faults.scenes import broken, processes, sending

LOADED = (broken, processes, sending)
