"""A source model in its own framework: what a converted model is validated against.

Nothing here goes through the converter's graph surgery, so that a mistake there shows.
"""

from converter.reference.reference import FRAMEWORKS, Framework, Reference, open_reference

__all__ = ["FRAMEWORKS", "Framework", "Reference", "open_reference"]
