"""AWS's words for what went wrong, where its status alone says less. Pure.

Sources: AWS, Bedrock API reference, "Converse", errors, and "Common error types" (read 2026-11-25).
"""

from trunkline_policy.faults import FailureKind

HEADER = "x-amzn-errortype"
_KINDS = {
    "ThrottlingException": FailureKind.LIMITED,
    "ServiceQuotaExceededException": FailureKind.LIMITED,
    "ModelNotReadyException": FailureKind.BROKEN,
    "ModelTimeoutException": FailureKind.SILENT,
    "AccessDeniedException": FailureKind.UNFIT,
    "UnrecognizedClientException": FailureKind.ACCOUNT,
    "InvalidClientTokenId": FailureKind.ACCOUNT,
    "InvalidSignatureException": FailureKind.ACCOUNT,
    "IncompleteSignature": FailureKind.ACCOUNT,
    "IncompleteSignatureException": FailureKind.ACCOUNT,
    "MissingAuthenticationTokenException": FailureKind.ACCOUNT,
    "ExpiredTokenException": FailureKind.ACCOUNT,
}
"""A model that is not ready says 429, and a model without access says the same 403 as a wrong signature."""


def kind_at_amazon(error_type: str) -> FailureKind | None:
    """By the header's value, which may go on with a colon and a URL; None where the status says enough."""
    return _KINDS.get(error_type.partition(":")[0].strip())
