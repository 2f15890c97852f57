from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTION_UNSPECIFIED: _ClassVar[Action]
    ACTION_ALLOW: _ClassVar[Action]
    ACTION_FLAG: _ClassVar[Action]
    ACTION_REDACT: _ClassVar[Action]
    ACTION_BLOCK: _ClassVar[Action]
    ACTION_RETRY: _ClassVar[Action]

class Channel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANNEL_UNSPECIFIED: _ClassVar[Channel]
    CHANNEL_TEXT: _ClassVar[Channel]
    CHANNEL_REASONING: _ClassVar[Channel]
    CHANNEL_TOOL_ARGUMENTS: _ClassVar[Channel]
ACTION_UNSPECIFIED: Action
ACTION_ALLOW: Action
ACTION_FLAG: Action
ACTION_REDACT: Action
ACTION_BLOCK: Action
ACTION_RETRY: Action
CHANNEL_UNSPECIFIED: Channel
CHANNEL_TEXT: Channel
CHANNEL_REASONING: Channel
CHANNEL_TOOL_ARGUMENTS: Channel

class CheckInputRequest(_message.Message):
    __slots__ = ("policy", "parts", "vector_f32", "encoder_id", "injection_p", "tenant", "request_id")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    VECTOR_F32_FIELD_NUMBER: _ClassVar[int]
    ENCODER_ID_FIELD_NUMBER: _ClassVar[int]
    INJECTION_P_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    policy: str
    parts: _containers.RepeatedCompositeFieldContainer[InputPart]
    vector_f32: bytes
    encoder_id: str
    injection_p: float
    tenant: str
    request_id: str
    def __init__(self, policy: _Optional[str] = ..., parts: _Optional[_Iterable[_Union[InputPart, _Mapping]]] = ..., vector_f32: _Optional[bytes] = ..., encoder_id: _Optional[str] = ..., injection_p: _Optional[float] = ..., tenant: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class InputPart(_message.Message):
    __slots__ = ("path", "role", "text")
    PATH_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    path: str
    role: str
    text: str
    def __init__(self, path: _Optional[str] = ..., role: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class CheckInputResponse(_message.Message):
    __slots__ = ("action", "findings", "redactions", "scanned_bytes", "took_us", "policy_version", "checks")
    ACTION_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    REDACTIONS_FIELD_NUMBER: _ClassVar[int]
    SCANNED_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOOK_US_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    CHECKS_FIELD_NUMBER: _ClassVar[int]
    action: Action
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    redactions: _containers.RepeatedCompositeFieldContainer[Redaction]
    scanned_bytes: int
    took_us: int
    policy_version: str
    checks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, action: _Optional[_Union[Action, str]] = ..., findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., redactions: _Optional[_Iterable[_Union[Redaction, _Mapping]]] = ..., scanned_bytes: _Optional[int] = ..., took_us: _Optional[int] = ..., policy_version: _Optional[str] = ..., checks: _Optional[_Iterable[str]] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("check", "kind", "action", "path", "start_chars", "end_chars", "score", "failed")
    CHECK_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    START_CHARS_FIELD_NUMBER: _ClassVar[int]
    END_CHARS_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    check: str
    kind: str
    action: Action
    path: str
    start_chars: int
    end_chars: int
    score: float
    failed: bool
    def __init__(self, check: _Optional[str] = ..., kind: _Optional[str] = ..., action: _Optional[_Union[Action, str]] = ..., path: _Optional[str] = ..., start_chars: _Optional[int] = ..., end_chars: _Optional[int] = ..., score: _Optional[float] = ..., failed: _Optional[bool] = ...) -> None: ...

class Redaction(_message.Message):
    __slots__ = ("path", "start_chars", "end_chars", "replacement")
    PATH_FIELD_NUMBER: _ClassVar[int]
    START_CHARS_FIELD_NUMBER: _ClassVar[int]
    END_CHARS_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_FIELD_NUMBER: _ClassVar[int]
    path: str
    start_chars: int
    end_chars: int
    replacement: str
    def __init__(self, path: _Optional[str] = ..., start_chars: _Optional[int] = ..., end_chars: _Optional[int] = ..., replacement: _Optional[str] = ...) -> None: ...

class CheckOutputRequest(_message.Message):
    __slots__ = ("start", "channel", "index", "delta", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: OutputStart
    channel: Channel
    index: int
    delta: str
    end: bool
    def __init__(self, start: _Optional[_Union[OutputStart, _Mapping]] = ..., channel: _Optional[_Union[Channel, str]] = ..., index: _Optional[int] = ..., delta: _Optional[str] = ..., end: _Optional[bool] = ...) -> None: ...

class OutputStart(_message.Message):
    __slots__ = ("policy", "tenant", "request_id", "response_format_json")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FORMAT_JSON_FIELD_NUMBER: _ClassVar[int]
    policy: str
    tenant: str
    request_id: str
    response_format_json: bytes
    def __init__(self, policy: _Optional[str] = ..., tenant: _Optional[str] = ..., request_id: _Optional[str] = ..., response_format_json: _Optional[bytes] = ...) -> None: ...

class CheckOutputResponse(_message.Message):
    __slots__ = ("channel", "index", "release", "action", "findings", "end")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    channel: Channel
    index: int
    release: str
    action: Action
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    end: bool
    def __init__(self, channel: _Optional[_Union[Channel, str]] = ..., index: _Optional[int] = ..., release: _Optional[str] = ..., action: _Optional[_Union[Action, str]] = ..., findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., end: _Optional[bool] = ...) -> None: ...

class ListPoliciesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPoliciesResponse(_message.Message):
    __slots__ = ("policies", "version")
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    policies: _containers.RepeatedCompositeFieldContainer[Policy]
    version: str
    def __init__(self, policies: _Optional[_Iterable[_Union[Policy, _Mapping]]] = ..., version: _Optional[str] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("name", "input", "output")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    name: str
    input: _containers.RepeatedCompositeFieldContainer[PolicyCheck]
    output: _containers.RepeatedCompositeFieldContainer[PolicyCheck]
    def __init__(self, name: _Optional[str] = ..., input: _Optional[_Iterable[_Union[PolicyCheck, _Mapping]]] = ..., output: _Optional[_Iterable[_Union[PolicyCheck, _Mapping]]] = ...) -> None: ...

class PolicyCheck(_message.Message):
    __slots__ = ("check", "on_fail")
    CHECK_FIELD_NUMBER: _ClassVar[int]
    ON_FAIL_FIELD_NUMBER: _ClassVar[int]
    check: str
    on_fail: Action
    def __init__(self, check: _Optional[str] = ..., on_fail: _Optional[_Union[Action, str]] = ...) -> None: ...

class ReloadRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReloadResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: str
    def __init__(self, version: _Optional[str] = ...) -> None: ...
