"""Framework -> ov.Model: one module a framework, imported only when its files come."""

from converter.sources.detection import load_source
from converter.sources.source import LoadOptions, SourceFacts, SourceModel

__all__ = ["LoadOptions", "SourceFacts", "SourceModel", "load_source"]
