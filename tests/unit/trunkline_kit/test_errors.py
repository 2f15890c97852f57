from grpc import StatusCode

from trunkline_kit import errors
from trunkline_kit.error_shapes import OPENAI_ERROR_TYPES
from trunkline_kit.errors import TrunklineError, error_classes

CLASSES = [cls for cls in error_classes() if cls.__module__ == errors.__name__]


def test_every_error_has_a_row_in_both_tables():
    assert len(CLASSES) > 20
    for cls in CLASSES:
        assert cls.reason.replace("_", "").isalpha(), cls
        assert cls.http_status in OPENAI_ERROR_TYPES, cls
        assert isinstance(cls.code, StatusCode), cls
        assert cls.code is not StatusCode.OK


def test_reasons_name_one_class_each():
    leaves = [cls for cls in CLASSES if cls not in (TrunklineError, errors.Internal)]
    assert len({cls.reason for cls in leaves}) == len(leaves)


def test_every_error_is_drawn_in_the_docstring():
    for cls in CLASSES:
        assert cls.__name__ in (errors.__doc__ or ""), cls
        assert cls.__doc__, cls
