"""Images and documents as OpenAI writes them: by URL, which may be a data URL, or by the id of an upload. Pure."""

import re

from trunkline_gateway.dialects.canonical import CacheMark, File, Image
from trunkline_kit.errors import InvalidRequest

PDF = "application/pdf"
_DATA_URL = re.compile(r"data:(?P<type>[^;,]*)(?:;[^;,]*)*;base64,", re.ASCII)


def image_of(url: str, detail: str, mark: CacheMark | None, media_type: str = "") -> Image:
    """An image by URL, which may hold the image itself."""
    found = _DATA_URL.match(url)
    if found is None:
        return Image(url=url, media_type=media_type, detail=detail, cache=mark)
    return Image(data=url[found.end() :], media_type=found["type"] or media_type, detail=detail, cache=mark)


def file_of(data: str, file_id: str, name: str, mark: CacheMark | None, place: str) -> File:
    """A document by data URL, base64 of a PDF, or the id of an upload."""
    if bool(data) == bool(file_id):
        raise InvalidRequest(f"{place} needs one of file_data and file_id", param=place)
    if file_id:
        return File(file_id=file_id, name=name, cache=mark)
    found = _DATA_URL.match(data)
    if found is None:
        return File(data=data, media_type=PDF, name=name, cache=mark)
    return File(data=data[found.end() :], media_type=found["type"], name=name, cache=mark)


def image_url(image: Image) -> str:
    """The inverse of `image_of`."""
    return image.url or data_url(image.media_type, image.data)


def data_url(media_type: str, data: str) -> str:
    """`data` is base64."""
    return f"data:{media_type};base64,{data}"
