"""What happened when: the stages of evaluations, and spans where somebody records these.

The parts of the package say what they do by ``stages``, ``Slices`` and ``note``: a run's driver
writes that in its journal. They say more of it by ``span`` and ``annotate``, which costs next to
nothing unless spans are recorded: in a folder with a file for each process, of OTLP-JSON lines,
which ``parsl_tl.events.record`` reads.
"""

from parsl_tl.events import stages
from parsl_tl.events.notes import note
from parsl_tl.events.slices import Slices
from parsl_tl.events.spans import (
    Carried,
    Span,
    annotate,
    flush,
    is_recording,
    span,
)
from parsl_tl.events.tasks import continued

__all__ = [
    "Carried",
    "Slices",
    "Span",
    "annotate",
    "continued",
    "flush",
    "is_recording",
    "note",
    "span",
    "stages",
]
