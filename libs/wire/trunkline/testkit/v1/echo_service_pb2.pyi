from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FailKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAIL_KIND_UNSPECIFIED: _ClassVar[FailKind]
    FAIL_KIND_ABORT: _ClassVar[FailKind]
    FAIL_KIND_TRUNKLINE_ERROR: _ClassVar[FailKind]
    FAIL_KIND_BUG: _ClassVar[FailKind]
    FAIL_KIND_SET_CODE: _ClassVar[FailKind]
FAIL_KIND_UNSPECIFIED: FailKind
FAIL_KIND_ABORT: FailKind
FAIL_KIND_TRUNKLINE_ERROR: FailKind
FAIL_KIND_BUG: FailKind
FAIL_KIND_SET_CODE: FailKind

class EchoRequest(_message.Message):
    __slots__ = ("text", "payload", "answer_bytes")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    ANSWER_BYTES_FIELD_NUMBER: _ClassVar[int]
    text: str
    payload: bytes
    answer_bytes: int
    def __init__(self, text: _Optional[str] = ..., payload: _Optional[bytes] = ..., answer_bytes: _Optional[int] = ...) -> None: ...

class EchoResponse(_message.Message):
    __slots__ = ("text", "payload", "time_remaining_s", "traceparent", "peer")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    TIME_REMAINING_S_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    text: str
    payload: bytes
    time_remaining_s: float
    traceparent: str
    peer: str
    def __init__(self, text: _Optional[str] = ..., payload: _Optional[bytes] = ..., time_remaining_s: _Optional[float] = ..., traceparent: _Optional[str] = ..., peer: _Optional[str] = ...) -> None: ...

class RepeatRequest(_message.Message):
    __slots__ = ("text", "count", "padding_bytes", "fail")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    PADDING_BYTES_FIELD_NUMBER: _ClassVar[int]
    FAIL_FIELD_NUMBER: _ClassVar[int]
    text: str
    count: int
    padding_bytes: int
    fail: bool
    def __init__(self, text: _Optional[str] = ..., count: _Optional[int] = ..., padding_bytes: _Optional[int] = ..., fail: _Optional[bool] = ...) -> None: ...

class RepeatResponse(_message.Message):
    __slots__ = ("text", "index", "padding")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PADDING_FIELD_NUMBER: _ClassVar[int]
    text: str
    index: int
    padding: bytes
    def __init__(self, text: _Optional[str] = ..., index: _Optional[int] = ..., padding: _Optional[bytes] = ...) -> None: ...

class JoinRequest(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class JoinResponse(_message.Message):
    __slots__ = ("text", "count")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    text: str
    count: int
    def __init__(self, text: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class ChatRequest(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class ChatResponse(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class HangRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HangResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class FailRequest(_message.Message):
    __slots__ = ("kind", "details")
    KIND_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    kind: FailKind
    details: str
    def __init__(self, kind: _Optional[_Union[FailKind, str]] = ..., details: _Optional[str] = ...) -> None: ...

class FailResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
