"""The file of a timeline: Perfetto's TrackEvent packets, as its ``trace.proto`` describes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any, Final

from parsl_tl.errors import AnalysisError
from parsl_tl.report.trace_lanes import Lane, Slice

_SEQUENCE: Final = 1  # all packets are of one


class TraceFile:
    """Writes the tracks of a timeline: nodes, lanes on them, and counters.

    Nodes are processes to Perfetto, and lanes are threads of theirs.

    Args:
        file: to write to.

    Raises:
        AnalysisError: the package that knows the format is not installed.
    """

    def __init__(self, file: IO[bytes]) -> None:
        try:
            from perfetto.protos.perfetto.trace import perfetto_trace_pb2
            from perfetto.trace_builder.proto_builder import StreamingTraceProtoBuilder
        except ImportError as error:
            raise AnalysisError(
                f"timelines are written by the package perfetto ({error}): "
                "pip install 'parsl-tl[trace]'"
            ) from error
        self._event: Any = perfetto_trace_pb2.TrackEvent
        self._track: Any = perfetto_trace_pb2.TrackDescriptor
        self._builder = StreamingTraceProtoBuilder(file)
        self._nodes: dict[str, int] = {}
        self._last_uuid = 0

    def _packet(self) -> Any:
        packet = self._builder.create_packet()
        packet.trusted_packet_sequence_id = _SEQUENCE
        return packet

    def _new_track(self, name: str | None = None) -> tuple[Any, Any]:
        packet = self._packet()
        self._last_uuid += 1
        packet.track_descriptor.uuid = self._last_uuid
        if name is not None:
            packet.track_descriptor.name = name
        return packet, packet.track_descriptor

    def _node(self, host: str) -> int:
        if host not in self._nodes:
            packet, track = self._new_track()
            self._nodes[host] = track.uuid
            # Numbers of processes are unique on a node only.
            track.process.pid = track.uuid
            track.process.process_name = host
            track.child_ordering = self._track.EXPLICIT
            self._builder.write_packet(packet)
        return self._nodes[host]

    def add_lane(
        self, lane: Lane, starts: Mapping[str, Sequence[int]], ends: Mapping[str, Sequence[int]]
    ) -> None:
        """Writes a lane, with all that is drawn in it.

        Args:
            lane: to be written.
            starts: numbers of the arrows that start at a slice, by its span's key.
            ends: numbers of those that end there.
        """
        node = self._node(lane.doer.host)
        packet, track = self._new_track()
        track.parent_uuid = node
        track.sibling_order_rank = track.uuid
        track.thread.pid = node
        track.thread.tid = track.uuid
        beside = f" ({lane.number + 1})" if lane.number else ""
        track.thread.thread_name = f"{lane.doer.role} {lane.doer.name}{beside}"
        self._builder.write_packet(packet)
        for one in lane.slices:
            self._add_slice(one, track.uuid, starts, ends)

    def _add_slice(
        self,
        drawn: Slice,
        track: int,
        starts: Mapping[str, Sequence[int]],
        ends: Mapping[str, Sequence[int]],
    ) -> None:
        span = drawn.span
        packet = self._packet()
        packet.timestamp = span.start
        event = packet.track_event
        event.type = self._event.TYPE_SLICE_BEGIN
        event.track_uuid = track
        event.name = span.name
        event.categories.append(span.process.role)
        event.flow_ids.extend(starts.get(span.key, ()))
        event.terminating_flow_ids.extend(ends.get(span.key, ()))
        said = (
            dict(span.attributes)
            if span.error is None
            else {**span.attributes, "error": span.error}
        )
        for name, value in said.items():
            annotation = event.debug_annotations.add()
            annotation.name = name
            setattr(annotation, _FIELDS[type(value)], value)
        self._builder.write_packet(packet)
        for inner in drawn.inner:
            self._add_slice(inner, track, starts, ends)
        packet = self._packet()
        packet.timestamp = span.end
        packet.track_event.type = self._event.TYPE_SLICE_END
        packet.track_event.track_uuid = track
        self._builder.write_packet(packet)

    def add_counter(self, name: str, unit: str, values: Iterable[tuple[int, int | float]]) -> None:
        """Writes a counter.

        Args:
            name: of what is counted.
            unit: of its values; empty for none.
            values: nanoseconds since 1970, and the value from then on, in the order of time.
        """
        packet, track = self._new_track(name)
        track.counter.unit_name = unit
        self._builder.write_packet(packet)
        for when, value in values:
            packet = self._packet()
            packet.timestamp = when
            packet.track_event.type = self._event.TYPE_COUNTER
            packet.track_event.track_uuid = track.uuid
            if isinstance(value, int):
                packet.track_event.counter_value = value
            else:
                packet.track_event.double_counter_value = value
            self._builder.write_packet(packet)


_FIELDS: Final = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
