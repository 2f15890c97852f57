from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LookupMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOOKUP_MODE_UNSPECIFIED: _ClassVar[LookupMode]
    LOOKUP_MODE_EXACT: _ClassVar[LookupMode]
    LOOKUP_MODE_SEMANTIC: _ClassVar[LookupMode]

class LookupStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOOKUP_STATUS_UNSPECIFIED: _ClassVar[LookupStatus]
    LOOKUP_STATUS_HIT: _ClassVar[LookupStatus]
    LOOKUP_STATUS_MISS: _ClassVar[LookupStatus]
    LOOKUP_STATUS_BYPASS: _ClassVar[LookupStatus]
    LOOKUP_STATUS_IN_FLIGHT: _ClassVar[LookupStatus]
LOOKUP_MODE_UNSPECIFIED: LookupMode
LOOKUP_MODE_EXACT: LookupMode
LOOKUP_MODE_SEMANTIC: LookupMode
LOOKUP_STATUS_UNSPECIFIED: LookupStatus
LOOKUP_STATUS_HIT: LookupStatus
LOOKUP_STATUS_MISS: LookupStatus
LOOKUP_STATUS_BYPASS: LookupStatus
LOOKUP_STATUS_IN_FLIGHT: LookupStatus

class Scope(_message.Message):
    __slots__ = ("tenant", "namespace")
    TENANT_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    tenant: str
    namespace: str
    def __init__(self, tenant: _Optional[str] = ..., namespace: _Optional[str] = ...) -> None: ...

class Fingerprint(_message.Message):
    __slots__ = ("sha256", "version")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    sha256: bytes
    version: int
    def __init__(self, sha256: _Optional[bytes] = ..., version: _Optional[int] = ...) -> None: ...

class LookupRequest(_message.Message):
    __slots__ = ("scope", "fingerprint", "vector_f32", "encoder_id", "mode", "max_age_s", "max_error_rate", "model")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    VECTOR_F32_FIELD_NUMBER: _ClassVar[int]
    ENCODER_ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_S_FIELD_NUMBER: _ClassVar[int]
    MAX_ERROR_RATE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    scope: Scope
    fingerprint: Fingerprint
    vector_f32: bytes
    encoder_id: str
    mode: LookupMode
    max_age_s: float
    max_error_rate: float
    model: str
    def __init__(self, scope: _Optional[_Union[Scope, _Mapping]] = ..., fingerprint: _Optional[_Union[Fingerprint, _Mapping]] = ..., vector_f32: _Optional[bytes] = ..., encoder_id: _Optional[str] = ..., mode: _Optional[_Union[LookupMode, str]] = ..., max_age_s: _Optional[float] = ..., max_error_rate: _Optional[float] = ..., model: _Optional[str] = ...) -> None: ...

class LookupResponse(_message.Message):
    __slots__ = ("status", "answer", "reason", "similarity", "age_s", "entry_id")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    AGE_S_FIELD_NUMBER: _ClassVar[int]
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    status: LookupStatus
    answer: CachedAnswer
    reason: str
    similarity: float
    age_s: float
    entry_id: str
    def __init__(self, status: _Optional[_Union[LookupStatus, str]] = ..., answer: _Optional[_Union[CachedAnswer, _Mapping]] = ..., reason: _Optional[str] = ..., similarity: _Optional[float] = ..., age_s: _Optional[float] = ..., entry_id: _Optional[str] = ...) -> None: ...

class CachedAnswer(_message.Message):
    __slots__ = ("body_json", "usage_json", "model", "provider")
    BODY_JSON_FIELD_NUMBER: _ClassVar[int]
    USAGE_JSON_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    body_json: bytes
    usage_json: bytes
    model: str
    provider: str
    def __init__(self, body_json: _Optional[bytes] = ..., usage_json: _Optional[bytes] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ...) -> None: ...

class StoreRequest(_message.Message):
    __slots__ = ("scope", "fingerprint", "vector_f32", "encoder_id", "answer", "ttl_s", "tags")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    VECTOR_F32_FIELD_NUMBER: _ClassVar[int]
    ENCODER_ID_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    TTL_S_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    scope: Scope
    fingerprint: Fingerprint
    vector_f32: bytes
    encoder_id: str
    answer: CachedAnswer
    ttl_s: float
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, scope: _Optional[_Union[Scope, _Mapping]] = ..., fingerprint: _Optional[_Union[Fingerprint, _Mapping]] = ..., vector_f32: _Optional[bytes] = ..., encoder_id: _Optional[str] = ..., answer: _Optional[_Union[CachedAnswer, _Mapping]] = ..., ttl_s: _Optional[float] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class StoreResponse(_message.Message):
    __slots__ = ("stored", "reason", "entry_id")
    STORED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    stored: bool
    reason: str
    entry_id: str
    def __init__(self, stored: _Optional[bool] = ..., reason: _Optional[str] = ..., entry_id: _Optional[str] = ...) -> None: ...

class InvalidateRequest(_message.Message):
    __slots__ = ("scope", "everything", "model", "tag", "entry_id")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    EVERYTHING_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    scope: Scope
    everything: bool
    model: str
    tag: str
    entry_id: str
    def __init__(self, scope: _Optional[_Union[Scope, _Mapping]] = ..., everything: _Optional[bool] = ..., model: _Optional[str] = ..., tag: _Optional[str] = ..., entry_id: _Optional[str] = ...) -> None: ...

class InvalidateResponse(_message.Message):
    __slots__ = ("removed",)
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    removed: int
    def __init__(self, removed: _Optional[int] = ...) -> None: ...

class FeedbackRequest(_message.Message):
    __slots__ = ("scope", "entry_id", "correct")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    CORRECT_FIELD_NUMBER: _ClassVar[int]
    scope: Scope
    entry_id: str
    correct: bool
    def __init__(self, scope: _Optional[_Union[Scope, _Mapping]] = ..., entry_id: _Optional[str] = ..., correct: _Optional[bool] = ...) -> None: ...

class FeedbackResponse(_message.Message):
    __slots__ = ("recorded",)
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    recorded: bool
    def __init__(self, recorded: _Optional[bool] = ...) -> None: ...

class StatsRequest(_message.Message):
    __slots__ = ("scope",)
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    scope: Scope
    def __init__(self, scope: _Optional[_Union[Scope, _Mapping]] = ...) -> None: ...

class StatsResponse(_message.Message):
    __slots__ = ("hits", "misses", "entries", "size_bytes", "evicted")
    HITS_FIELD_NUMBER: _ClassVar[int]
    MISSES_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    EVICTED_FIELD_NUMBER: _ClassVar[int]
    hits: int
    misses: int
    entries: int
    size_bytes: int
    evicted: int
    def __init__(self, hits: _Optional[int] = ..., misses: _Optional[int] = ..., entries: _Optional[int] = ..., size_bytes: _Optional[int] = ..., evicted: _Optional[int] = ...) -> None: ...
