"""What happened when: spans of what drivers, workers and stores do, where somebody records them.

The parts of the package say what they do by ``span``, ``annotate`` and ``stages``; that costs next
to nothing unless a record is kept. A record is a folder with a file for each process, of OTLP-JSON
lines, which ``parsl_tl.events.record`` reads.
"""

from parsl_tl.events import stages
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
    "Span",
    "annotate",
    "continued",
    "flush",
    "is_recording",
    "span",
    "stages",
]
