import pytest

from trunkline_gateway.dialects.canonical import CacheMark, File, Image
from trunkline_gateway.dialects.media import file_of, image_of, image_url
from trunkline_kit.errors import InvalidRequest


@pytest.mark.parametrize("url", ["https://example.com/a.png", "data:image/png;base64,AAAA", "data:;base64,AAAA"])
def test_images_by_url(url):
    assert image_url(image_of(url, "low", None)) == url


def test_data_urls_are_taken_apart():
    assert image_of("data:image/png;charset=x;base64,AA==", "", None) == Image(data="AA==", media_type="image/png")
    assert file_of("data:text/plain;base64,AA==", "", "n", None, "p") == File(
        data="AA==", media_type="text/plain", name="n"
    )
    assert file_of("AA==", "", "", CacheMark(), "p") == File(
        data="AA==", media_type="application/pdf", cache=CacheMark()
    )
    assert file_of("", "file-1", "", None, "p") == File(file_id="file-1")


@pytest.mark.parametrize(("data", "file_id"), [("", ""), ("AA==", "file-1")])
def test_a_file_is_one_thing(data, file_id):
    with pytest.raises(InvalidRequest) as refused:
        file_of(data, file_id, "", None, "input[1]")
    assert refused.value.param == "input[1]"
