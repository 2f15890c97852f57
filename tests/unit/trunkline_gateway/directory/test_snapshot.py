"""What changes make of a snapshot, in whatever portions they come."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from trunkline_gateway.directory.objects import Changes, Item, Kind, KnownSecret
from trunkline_gateway.directory.snapshot import Snapshot, applied
from trunkline_kit.tenants import KeySpec, Team

NAMES = ("a", "b", "c")
STEPS = st.lists(
    st.tuples(st.sampled_from([Kind.KEY, Kind.TEAM]), st.sampled_from(NAMES), st.sampled_from(["put", "gone"])),
    max_size=20,
)


class Model:
    """The directory as one dictionary; tells changes as the store does."""

    def __init__(self, steps):
        self.steps = steps

    def at(self, revision):
        """Objects by kind and id; of each the revision that made it."""
        there = {}
        for number, (kind, name, what) in enumerate(self.steps[:revision], 1):
            if what == "put":
                there[kind, name] = number
            else:
                there.pop((kind, name), None)
        return there

    def changes(self, since, revision):
        there = self.at(revision)
        touched = {(kind, name) for kind, name, _ in self.steps[since:revision]}
        return self._told(
            {each: there[each] for each in touched if each in there},
            Changes(revision=revision, mark=f"m{revision}", gone=tuple(touched - set(there))),
        )

    def everything(self, revision):
        return self._told(self.at(revision), Changes(revision=revision, mark=f"m{revision}", whole=True))

    def _told(self, there, changes):
        items = tuple(
            Item(kind=kind, id=name, spec=KeySpec() if kind is Kind.KEY else Team(), version=version)
            for (kind, name), version in there.items()
        )
        secrets = tuple(
            KnownSecret(key_id=name, digest=f"{name}{version}{twin}".encode())
            for (kind, name), version in there.items()
            if kind is Kind.KEY
            for twin in range(version % 3)
        )
        return replace(changes, items=items, secrets=secrets)


def without_empty(snapshot):
    return replace(snapshot, items={kind: dict(items) for kind, items in snapshot.items.items() if items})


@given(steps=STEPS, cuts=st.sets(st.integers(0, 20)), whole=st.sets(st.integers(0, 20)))
def test_any_portions_end_with_the_same(steps, cuts, whole):
    model = Model(steps)
    known = applied(Snapshot(), model.everything(0))
    since = 0
    for revision in sorted({cut for cut in cuts if cut <= len(steps)} | {len(steps)}):
        before = without_empty(known)
        changes = model.everything(revision) if revision in whole else model.changes(since, revision)
        following = applied(known, changes)
        assert without_empty(known) == before, "never changed in place"
        known, since = following, revision
    assert without_empty(known) == without_empty(applied(Snapshot(), model.everything(len(steps))))
    assert known.revision == len(steps)


def test_kinds_that_nothing_happened_to_are_not_copied():
    model = Model([(Kind.KEY, "a", "put"), (Kind.TEAM, "b", "put")])
    known = applied(Snapshot(), model.everything(1))
    following = applied(known, model.changes(1, 2))
    assert following.items[Kind.KEY] is known.items[Kind.KEY]
    assert following.secrets is known.secrets
    assert following.of(Kind.ORG) == {}
