"""Google's own SDK. It speaks Gemini's protocol only, which the gateway does not serve: it has to hear that plainly."""

from google import genai
from google.genai import errors, types

PACKAGES = ("google-genai",)


class GoogleGenAI:
    """Gemini's generateContent."""

    MORE = ("refusal",)

    def __init__(self, url: str, key: str, model: str) -> None:
        self.client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=url))
        self.model = model

    def refusal(self) -> object:
        try:
            self.client.models.generate_content(model=self.model, contents="How is the weather?")
        except errors.ClientError as error:
            return {"status": error.code, "body": error.details}
        return None


WAYS = (GoogleGenAI,)
