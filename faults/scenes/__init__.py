"""The scenes, by what they disturb; importing this makes all of them known."""

from importlib import import_module
from pkgutil import iter_modules

LOADED = [import_module(f"{__name__}.{each.name}") for each in iter_modules(__path__)]
