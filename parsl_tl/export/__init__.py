"""Models of a search as files of other formats, each with a card that says where it comes from."""

from parsl_tl.export.exporting import Exported, export_models
from parsl_tl.export.formats import FORMATS

__all__ = ["FORMATS", "Exported", "export_models"]
