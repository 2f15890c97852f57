from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AnalyzeRequest(_message.Message):
    __slots__ = ("parts", "route_set", "requirements", "want_vector", "want_injection", "tenant")
    PARTS_FIELD_NUMBER: _ClassVar[int]
    ROUTE_SET_FIELD_NUMBER: _ClassVar[int]
    REQUIREMENTS_FIELD_NUMBER: _ClassVar[int]
    WANT_VECTOR_FIELD_NUMBER: _ClassVar[int]
    WANT_INJECTION_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    parts: _containers.RepeatedCompositeFieldContainer[TextPart]
    route_set: str
    requirements: Requirements
    want_vector: bool
    want_injection: bool
    tenant: str
    def __init__(self, parts: _Optional[_Iterable[_Union[TextPart, _Mapping]]] = ..., route_set: _Optional[str] = ..., requirements: _Optional[_Union[Requirements, _Mapping]] = ..., want_vector: _Optional[bool] = ..., want_injection: _Optional[bool] = ..., tenant: _Optional[str] = ...) -> None: ...

class TextPart(_message.Message):
    __slots__ = ("role", "text")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    role: str
    text: str
    def __init__(self, role: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class Requirements(_message.Message):
    __slots__ = ("tools", "response_format", "images", "prompt_tokens", "max_tokens")
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    tools: bool
    response_format: bool
    images: bool
    prompt_tokens: int
    max_tokens: int
    def __init__(self, tools: _Optional[bool] = ..., response_format: _Optional[bool] = ..., images: _Optional[bool] = ..., prompt_tokens: _Optional[int] = ..., max_tokens: _Optional[int] = ...) -> None: ...

class AnalyzeResponse(_message.Message):
    __slots__ = ("encoder_id", "vector_f32", "intents", "complexity", "injection_p", "language", "abstained", "decision", "reasons", "versions")
    ENCODER_ID_FIELD_NUMBER: _ClassVar[int]
    VECTOR_F32_FIELD_NUMBER: _ClassVar[int]
    INTENTS_FIELD_NUMBER: _ClassVar[int]
    COMPLEXITY_FIELD_NUMBER: _ClassVar[int]
    INJECTION_P_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    ABSTAINED_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    encoder_id: str
    vector_f32: bytes
    intents: _containers.RepeatedCompositeFieldContainer[Intent]
    complexity: float
    injection_p: float
    language: str
    abstained: bool
    decision: _containers.RepeatedScalarFieldContainer[str]
    reasons: _containers.RepeatedScalarFieldContainer[str]
    versions: Versions
    def __init__(self, encoder_id: _Optional[str] = ..., vector_f32: _Optional[bytes] = ..., intents: _Optional[_Iterable[_Union[Intent, _Mapping]]] = ..., complexity: _Optional[float] = ..., injection_p: _Optional[float] = ..., language: _Optional[str] = ..., abstained: _Optional[bool] = ..., decision: _Optional[_Iterable[str]] = ..., reasons: _Optional[_Iterable[str]] = ..., versions: _Optional[_Union[Versions, _Mapping]] = ...) -> None: ...

class Intent(_message.Message):
    __slots__ = ("label", "p")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    P_FIELD_NUMBER: _ClassVar[int]
    label: str
    p: float
    def __init__(self, label: _Optional[str] = ..., p: _Optional[float] = ...) -> None: ...

class Versions(_message.Message):
    __slots__ = ("config", "classifier")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    CLASSIFIER_FIELD_NUMBER: _ClassVar[int]
    config: str
    classifier: str
    def __init__(self, config: _Optional[str] = ..., classifier: _Optional[str] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: AnalyzeRequest
    def __init__(self, request: _Optional[_Union[AnalyzeRequest, _Mapping]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("response", "rules")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    response: AnalyzeResponse
    rules: _containers.RepeatedCompositeFieldContainer[RuleTrace]
    def __init__(self, response: _Optional[_Union[AnalyzeResponse, _Mapping]] = ..., rules: _Optional[_Iterable[_Union[RuleTrace, _Mapping]]] = ...) -> None: ...

class RuleTrace(_message.Message):
    __slots__ = ("index", "matched", "because")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    BECAUSE_FIELD_NUMBER: _ClassVar[int]
    index: int
    matched: bool
    because: str
    def __init__(self, index: _Optional[int] = ..., matched: _Optional[bool] = ..., because: _Optional[str] = ...) -> None: ...

class ReloadRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReloadResponse(_message.Message):
    __slots__ = ("versions",)
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    versions: Versions
    def __init__(self, versions: _Optional[_Union[Versions, _Mapping]] = ...) -> None: ...
