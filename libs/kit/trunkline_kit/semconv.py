"""Names of span attributes and metrics: the one place where a convention's name is spelled.

Source: OpenTelemetry semantic conventions v1.41, "Generative AI" and "RPC" (read 2026-11-24). What they have no name
for is ours and starts with `trunkline.`.
"""

ERROR_TYPE = "error.type"
RPC_SYSTEM = "rpc.system.name"

GEN_AI_OPERATION_NAME = "gen_ai.operation.name"
GEN_AI_PROVIDER_NAME = "gen_ai.provider.name"
GEN_AI_REQUEST_MODEL = "gen_ai.request.model"
GEN_AI_REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
GEN_AI_REQUEST_TEMPERATURE = "gen_ai.request.temperature"
GEN_AI_REQUEST_TOP_P = "gen_ai.request.top_p"
GEN_AI_REQUEST_SEED = "gen_ai.request.seed"
GEN_AI_RESPONSE_ID = "gen_ai.response.id"
GEN_AI_RESPONSE_MODEL = "gen_ai.response.model"
GEN_AI_RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
GEN_AI_USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
GEN_AI_CONVERSATION_ID = "gen_ai.conversation.id"

OPERATION_CHAT = "chat"
OPERATION_TEXT_COMPLETION = "text_completion"
OPERATION_EMBEDDINGS = "embeddings"
OPERATION_RERANK = "rerank"
OPERATION_MODERATION = "moderation"
OPERATION_COUNT_TOKENS = "count_tokens"

CLIENT_OPERATION_DURATION = "gen_ai.client.operation.duration"
CLIENT_TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105 - a metric's name
SERVER_REQUEST_DURATION = "gen_ai.server.request.duration"
SERVER_TIME_TO_FIRST_TOKEN = "gen_ai.server.time_to_first_token"  # noqa: S105 - a metric's name
SERVER_TIME_PER_OUTPUT_TOKEN = "gen_ai.server.time_per_output_token"  # noqa: S105 - a metric's name

TRUNKLINE_ROUTE = "trunkline.route"
TRUNKLINE_CACHE = "trunkline.cache"
TRUNKLINE_GUARDRAILS = "trunkline.guardrails"
TRUNKLINE_ATTEMPT = "trunkline.attempt"
TRUNKLINE_KEY_ID = "trunkline.key.id"
TRUNKLINE_TEAM = "trunkline.team"
TRUNKLINE_COST_USD = "trunkline.cost_usd"
TRUNKLINE_REQUEST_ID = "trunkline.request.id"
TRUNKLINE_CACHED_TOKENS = "trunkline.cached_tokens"
