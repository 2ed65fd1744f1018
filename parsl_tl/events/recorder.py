"""Records spans with OpenTelemetry: in a file of this process, and at an endpoint if one is set.

Imported by who records, and by nobody else: OpenTelemetry is an extra, and takes time to import.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from parsl_tl.errors import ConfigError, InvalidValueError
from parsl_tl.events.process_facts import process_facts
from parsl_tl.events.spans import Carried, Value, said

try:
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import SpanContext, get_current_span, use_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    from parsl_tl.events.span_file import SpanFile
    from parsl_tl.events.staged_spans import StagedSpans
except ImportError as error:
    raise ConfigError(
        f"spans are recorded by OpenTelemetry, which is not installed ({error}): "
        "pip install 'parsl-tl[trace]'"
    ) from error

logger = logging.getLogger(__name__)

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class Recorder:
    """Records what this process does.

    Attributes:
        stages: spans whose stages follow each other; see ``parsl_tl.events.stages``.
    """

    def __init__(self, folder: str | os.PathLike[str], role: str) -> None:
        """Writes nothing yet.

        Args:
            folder: of the record; it must be there. None of it is written where it is not, as on
                nodes that do not see the run's folder.
            role: what this process is to the search: ``driver`` or ``worker``.

        Raises:
            InvalidValueError: the variables of OpenTelemetry name a protocol that is not spoken.
            ConfigError: what sends spans to an endpoint is not installed.
        """
        self._folder = str(folder)
        # Without its own hook at exit, which would find the file closed.
        self._provider = TracerProvider(resource=_resource(role), shutdown_on_exit=False)
        self._file = SpanFile(Path(folder), role)
        self._provider.add_span_processor(self._file)
        if any(os.environ.get(name) for name in _ENDPOINTS):
            self._provider.add_span_processor(_sender())
        self._tracer = self._provider.get_tracer("parsl_tl")
        self._propagator = TraceContextTextMapPropagator()
        self.stages = StagedSpans(self._tracer, self._carried_by)

    @contextlib.contextmanager
    def span(
        self,
        name: str,
        attributes: Mapping[str, Value | None],
        *,
        parent: str | None = None,
        begin_ns: int | None = None,
    ) -> Iterator[_RecordedSpan]:
        """Records what is done in a ``with``; see ``parsl_tl.events.span``.

        Args:
            name: of the span.
            attributes: of the span.
            parent: the ``traceparent`` of the span that it is part of, in place of the one here.
            begin_ns: when it began, in nanoseconds since 1970; None is now.
        """
        context = None if parent is None else self._propagator.extract({"traceparent": parent})
        span = self._tracer.start_span(
            name, context, attributes=said(attributes), start_time=begin_ns
        )
        here = _RecordedSpan(span)
        try:
            with use_span(span, end_on_exit=False, record_exception=False):
                yield here
        finally:
            span.end(here.end_ns)

    def annotate(self, attributes: Mapping[str, Value | None]) -> None:
        """Says more of the span that this is in."""
        get_current_span().set_attributes(said(attributes))

    def _carried_by(self, context: SpanContext) -> Carried | None:
        if not context.is_valid:  # with OTEL_SDK_DISABLED
            return None
        flags = int(context.trace_flags)
        return Carried(
            f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}", self._folder
        )

    def flush(self) -> None:
        """Writes what has ended."""
        # The file alone: an endpoint that does not answer must not hold up an evaluation.
        self._file.force_flush()

    def close(self) -> None:
        """Ends what is open, and writes it."""
        self.stages.close()
        self._provider.shutdown()


class _RecordedSpan:
    """Conforms to ``parsl_tl.events.Span``."""

    def __init__(self, span: Any) -> None:
        self._span = span
        self.end_ns: int | None = None

    @property
    def context(self) -> bytes:
        """See ``Span.context``; none where a sampler leaves the span out."""
        context = self._span.get_span_context()
        if not context.trace_flags.sampled:
            return b""
        return bytes(context.trace_id.to_bytes(16, "big") + context.span_id.to_bytes(8, "big"))

    def annotate(self, **attributes: Value | None) -> None:
        """See ``Span.annotate``."""
        self._span.set_attributes(said(attributes))

    def ends_at(self, time_ns: int) -> None:
        """See ``Span.ends_at``."""
        self.end_ns = time_ns


_recorders: dict[tuple[int, str], Recorder | None] = {}
_lock = threading.Lock()


def worker_recorder(folder: str) -> Recorder | None:
    """Returns what records this worker's tasks, made for the first of them; None if nothing can.

    Args:
        folder: of the record.
    """
    key = (os.getpid(), folder)  # a worker is forked from a process that may have had one
    with _lock:
        if key not in _recorders:
            try:
                _recorders[key] = Recorder(folder, "worker")
            except (ConfigError, InvalidValueError) as error:
                logger.warning("this worker records no spans: %s", error)
                _recorders[key] = None
        return _recorders[key]


def _resource(role: str) -> Resource:
    attributes = {"service.name": "parsl_tl", **process_facts(role)}
    if (slot := os.environ.get("PARSL_WORKER_RANK")) is not None:
        block = os.environ.get("PARSL_WORKER_BLOCK_ID", "-")
        attributes["worker"] = f"block {block} worker {slot}"
    # What the user says of it, by OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME, wins.
    return Resource(attributes).merge(OTELResourceDetector().detect())


def _sender() -> Any:
    protocol = next((value for name in _PROTOCOLS if (value := os.environ.get(name))), None)
    if protocol not in (None, "http/protobuf"):
        raise InvalidValueError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}; spans are sent by 'http/protobuf': "
            "name an endpoint that takes it, commonly port 4318"
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError(
            f"spans cannot be sent to an endpoint ({error}): pip install 'parsl-tl[trace]', or "
            f"unset {' and '.join(_ENDPOINTS)}"
        ) from error
    return BatchSpanProcessor(OTLPSpanExporter())
