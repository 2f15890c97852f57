"""Every rule fires on a contract that breaks it, and on no other."""

import json

import lint_proto
import pytest

GOOD = """
syntax = "proto3";
package shop.v1;
service ShopService {
  rpc Buy(BuyRequest) returns (stream BuyResponse);
}
enum Kind { KIND_UNSPECIFIED = 0; KIND_FRESH = 1; }
message BuyRequest {
  // Grams.
  int32 weight = 1;
  Kind kind = 2;
  message Box {
    double height_m = 1;  // Metres.
  }
  Box box = 3;
  // Pieces by name.
  map<string, int32> pieces = 4;
}
message BuyResponse { optional string name = 1; }
"""


@pytest.fixture
def shop(tmp_path):
    """Writes a contract; returns what the linter says of it and its exit code."""
    folder = tmp_path / "proto" / "shop" / "v1"
    folder.mkdir(parents=True)
    lock = tmp_path / "lock.json"

    def lint(source, *argv, capsys):
        (folder / "shop_service.proto").write_text(source)
        code = lint_proto.main(list(argv), tmp_path / "proto", lock)
        return code, capsys.readouterr().out

    return lambda capsys: lambda source, *argv: lint(source, *argv, capsys=capsys)


@pytest.fixture
def lint(shop, capsys):
    return shop(capsys)


def test_a_good_contract_passes_once_it_is_locked(lint):
    assert lint(GOOD) == (1, "the lock does not know everything in proto/; run tools/lint_proto --update\n")
    assert lint(GOOD, "--update")[0] == 0
    assert lint(GOOD)[0] == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("package shop.v1;", "package shop.v2;", "package shop.v2 is not its folder, shop.v1"),
        ("KIND_UNSPECIFIED = 0", "KIND_STALE = 0", "starts with KIND_STALE = 0"),
        ("(BuyRequest) returns", "(BuyResponse) returns", "uses shop.v1.BuyResponse, not shop.v1.BuyRequest"),
        ("(BuyRequest) returns", "(BuyResponse) returns", "shop.v1.BuyResponse belongs to 2 RPCs"),
        ("  // Grams.\n", "", "shop.v1.BuyRequest.weight is a number"),
        ("  // Metres.", "", "shop.v1.BuyRequest.Box.height_m is a number"),
        ("  // Pieces by name.\n", "", "shop.v1.BuyRequest.pieces is a number"),
    ],
)
def test_each_rule_names_what_broke_it(lint, old, new, said):
    code, output = lint(GOOD.replace(old, new), "--update")
    assert code == 1
    assert said in output


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("message BuyResponse { optional string name = 1; }", "message BuyResponse {}", "BuyResponse.name"),
        ("string name = 1", "string name = 2", "was 1 optional string, is 2 optional string"),
        ("optional string name", "optional bytes name", "was 1 optional string, is 1 optional bytes"),
        ("optional string name", "string name", "was 1 optional string, is 1 string"),
        ("KIND_FRESH = 1", "KIND_FRESH = 2", "shop.v1.Kind.KIND_FRESH was 1, is 2"),
        ("returns (stream BuyResponse)", "returns (BuyResponse)", "ShopService.Buy was"),
        ("Box box = 3;", "", "shop.v1.BuyRequest.box (3 shop.v1.BuyRequest.Box) was removed"),
    ],
)
def test_what_was_published_stays(lint, old, new, said):
    lint(GOOD, "--update")
    changed = GOOD.replace(old, new)
    for arguments in ((), ("--update",)):
        code, output = lint(changed, *arguments)
        assert code == 1
        assert said in output
    assert lint(changed, "--update", "--force")[0] == 0
    assert lint(changed)[0] == 0


def test_what_is_new_is_locked_by_update(lint):
    lint(GOOD, "--update")
    grown = GOOD + "message Extra { string text = 1; }"
    assert lint(grown)[0] == 1
    assert lint(grown, "--update")[0] == 0
    assert "shop.v1.Extra was removed" in lint(GOOD)[1]


def test_a_file_that_does_not_compile_ends_with_the_compilers_words(lint):
    with pytest.raises(SystemExit, match="BuyRequestt"):
        lint(GOOD.replace("(BuyRequest)", "(BuyRequestt)"))


def test_a_number_in_a_map_of_messages_needs_no_comment(lint):
    assert (
        lint(GOOD.replace("map<string, int32>", "map<string, Box>").replace("// Pieces by name.", ""), "--update")[0]
        == 0
    )


def test_the_committed_lock_is_readable():
    lock = json.loads(lint_proto.LOCK.read_text())
    assert lock["trunkline.cache.v1.LookupRequest"]["max_age_s"] == "6 double"
    assert lock["trunkline.worker.v1.WorkerService"]["Generate"].endswith(
        "-> stream trunkline.worker.v1.GenerateResponse"
    )
