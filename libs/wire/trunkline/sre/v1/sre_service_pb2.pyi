import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChangeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANGE_KIND_UNSPECIFIED: _ClassVar[ChangeKind]
    CHANGE_KIND_DEPLOY: _ClassVar[ChangeKind]
    CHANGE_KIND_CONFIG: _ClassVar[ChangeKind]
    CHANGE_KIND_MODEL: _ClassVar[ChangeKind]
    CHANGE_KIND_ROLLBACK: _ClassVar[ChangeKind]
CHANGE_KIND_UNSPECIFIED: ChangeKind
CHANGE_KIND_DEPLOY: ChangeKind
CHANGE_KIND_CONFIG: ChangeKind
CHANGE_KIND_MODEL: ChangeKind
CHANGE_KIND_ROLLBACK: ChangeKind

class ReportChangeRequest(_message.Message):
    __slots__ = ("change_id", "kind", "service", "revision", "at", "by")
    CHANGE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    change_id: str
    kind: ChangeKind
    service: str
    revision: str
    at: _timestamp_pb2.Timestamp
    by: str
    def __init__(self, change_id: _Optional[str] = ..., kind: _Optional[_Union[ChangeKind, str]] = ..., service: _Optional[str] = ..., revision: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., by: _Optional[str] = ...) -> None: ...

class ReportChangeResponse(_message.Message):
    __slots__ = ("created",)
    CREATED_FIELD_NUMBER: _ClassVar[int]
    created: bool
    def __init__(self, created: _Optional[bool] = ...) -> None: ...

class RecordFeedbackRequest(_message.Message):
    __slots__ = ("token", "score", "comment", "labels")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    token: str
    score: float
    comment: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, token: _Optional[str] = ..., score: _Optional[float] = ..., comment: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ...) -> None: ...

class RecordFeedbackResponse(_message.Message):
    __slots__ = ("feedback_id",)
    FEEDBACK_ID_FIELD_NUMBER: _ClassVar[int]
    feedback_id: str
    def __init__(self, feedback_id: _Optional[str] = ...) -> None: ...

class StartDrillRequest(_message.Message):
    __slots__ = ("scenario", "duration_s")
    SCENARIO_FIELD_NUMBER: _ClassVar[int]
    DURATION_S_FIELD_NUMBER: _ClassVar[int]
    scenario: str
    duration_s: int
    def __init__(self, scenario: _Optional[str] = ..., duration_s: _Optional[int] = ...) -> None: ...

class StartDrillResponse(_message.Message):
    __slots__ = ("drill_id",)
    DRILL_ID_FIELD_NUMBER: _ClassVar[int]
    drill_id: str
    def __init__(self, drill_id: _Optional[str] = ...) -> None: ...

class ListIncidentsRequest(_message.Message):
    __slots__ = ("open_only", "include_drills", "limit", "page_token")
    OPEN_ONLY_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_DRILLS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    open_only: bool
    include_drills: bool
    limit: int
    page_token: str
    def __init__(self, open_only: _Optional[bool] = ..., include_drills: _Optional[bool] = ..., limit: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListIncidentsResponse(_message.Message):
    __slots__ = ("incidents", "next_page_token")
    INCIDENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    incidents: _containers.RepeatedCompositeFieldContainer[Incident]
    next_page_token: str
    def __init__(self, incidents: _Optional[_Iterable[_Union[Incident, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Incident(_message.Message):
    __slots__ = ("incident_id", "title", "severity", "drill", "started_at", "detected_at", "acknowledged_at", "resolved_at", "change_id")
    INCIDENT_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    DRILL_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    DETECTED_AT_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_AT_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_AT_FIELD_NUMBER: _ClassVar[int]
    CHANGE_ID_FIELD_NUMBER: _ClassVar[int]
    incident_id: str
    title: str
    severity: str
    drill: bool
    started_at: _timestamp_pb2.Timestamp
    detected_at: _timestamp_pb2.Timestamp
    acknowledged_at: _timestamp_pb2.Timestamp
    resolved_at: _timestamp_pb2.Timestamp
    change_id: str
    def __init__(self, incident_id: _Optional[str] = ..., title: _Optional[str] = ..., severity: _Optional[str] = ..., drill: _Optional[bool] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., detected_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., acknowledged_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resolved_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., change_id: _Optional[str] = ...) -> None: ...

class GetScorecardRequest(_message.Message):
    __slots__ = ("window_days", "include_drills")
    WINDOW_DAYS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_DRILLS_FIELD_NUMBER: _ClassVar[int]
    window_days: int
    include_drills: bool
    def __init__(self, window_days: _Optional[int] = ..., include_drills: _Optional[bool] = ...) -> None: ...

class GetScorecardResponse(_message.Message):
    __slots__ = ("time_to_detect", "time_to_acknowledge", "time_to_restore", "change_failure_rate", "changes")
    TIME_TO_DETECT_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_ACKNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_RESTORE_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FAILURE_RATE_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    time_to_detect: DurationStats
    time_to_acknowledge: DurationStats
    time_to_restore: DurationStats
    change_failure_rate: float
    changes: int
    def __init__(self, time_to_detect: _Optional[_Union[DurationStats, _Mapping]] = ..., time_to_acknowledge: _Optional[_Union[DurationStats, _Mapping]] = ..., time_to_restore: _Optional[_Union[DurationStats, _Mapping]] = ..., change_failure_rate: _Optional[float] = ..., changes: _Optional[int] = ...) -> None: ...

class DurationStats(_message.Message):
    __slots__ = ("count", "censored", "p50_s", "p90_s")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    CENSORED_FIELD_NUMBER: _ClassVar[int]
    P50_S_FIELD_NUMBER: _ClassVar[int]
    P90_S_FIELD_NUMBER: _ClassVar[int]
    count: int
    censored: int
    p50_s: float
    p90_s: float
    def __init__(self, count: _Optional[int] = ..., censored: _Optional[int] = ..., p50_s: _Optional[float] = ..., p90_s: _Optional[float] = ...) -> None: ...

class ListTracesRequest(_message.Message):
    __slots__ = ("limit", "page_token", "min_duration_ms", "errors_only", "service")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MIN_DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_ONLY_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    limit: int
    page_token: str
    min_duration_ms: float
    errors_only: bool
    service: str
    def __init__(self, limit: _Optional[int] = ..., page_token: _Optional[str] = ..., min_duration_ms: _Optional[float] = ..., errors_only: _Optional[bool] = ..., service: _Optional[str] = ...) -> None: ...

class ListTracesResponse(_message.Message):
    __slots__ = ("traces", "next_page_token")
    TRACES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    traces: _containers.RepeatedCompositeFieldContainer[TraceSummary]
    next_page_token: str
    def __init__(self, traces: _Optional[_Iterable[_Union[TraceSummary, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class TraceSummary(_message.Message):
    __slots__ = ("trace_id", "root_name", "root_service", "started_at", "duration_ms", "spans", "error")
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    ROOT_NAME_FIELD_NUMBER: _ClassVar[int]
    ROOT_SERVICE_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    SPANS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    trace_id: str
    root_name: str
    root_service: str
    started_at: _timestamp_pb2.Timestamp
    duration_ms: float
    spans: int
    error: bool
    def __init__(self, trace_id: _Optional[str] = ..., root_name: _Optional[str] = ..., root_service: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., duration_ms: _Optional[float] = ..., spans: _Optional[int] = ..., error: _Optional[bool] = ...) -> None: ...

class GetTraceRequest(_message.Message):
    __slots__ = ("trace_id",)
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    trace_id: str
    def __init__(self, trace_id: _Optional[str] = ...) -> None: ...

class GetTraceResponse(_message.Message):
    __slots__ = ("summary", "spans")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    SPANS_FIELD_NUMBER: _ClassVar[int]
    summary: TraceSummary
    spans: _containers.RepeatedCompositeFieldContainer[SpanRecord]
    def __init__(self, summary: _Optional[_Union[TraceSummary, _Mapping]] = ..., spans: _Optional[_Iterable[_Union[SpanRecord, _Mapping]]] = ...) -> None: ...

class SpanRecord(_message.Message):
    __slots__ = ("span_id", "parent_span_id", "name", "service", "started_at", "duration_ms", "error", "status_message", "attributes")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_SPAN_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    STATUS_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    span_id: str
    parent_span_id: str
    name: str
    service: str
    started_at: _timestamp_pb2.Timestamp
    duration_ms: float
    error: bool
    status_message: str
    attributes: _containers.ScalarMap[str, str]
    def __init__(self, span_id: _Optional[str] = ..., parent_span_id: _Optional[str] = ..., name: _Optional[str] = ..., service: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., duration_ms: _Optional[float] = ..., error: _Optional[bool] = ..., status_message: _Optional[str] = ..., attributes: _Optional[_Mapping[str, str]] = ...) -> None: ...
