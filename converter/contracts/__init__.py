"""Family -> the contract of docs/contract.md, by graph surgery: one module a family."""

from converter.contracts.family import About, Adapted, AdaptOptions, Family, Preprocessing
from converter.contracts.registry import FAMILY_NAMES, detect, family_named

__all__ = [
    "FAMILY_NAMES",
    "About",
    "AdaptOptions",
    "Adapted",
    "Family",
    "Preprocessing",
    "detect",
    "family_named",
]
