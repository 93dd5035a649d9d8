"""Membership: an object stays as long as one informer selects it, and lists tell what is gone."""

from aimd.runtime.membership import Membership
from aimd.runtime.objects import Key, Manifest

A, B, C = (Key("ns", name) for name in "abc")


def stored(**versions: int) -> dict[Key, Manifest]:
    return {Key("ns", name): {"metadata": {"resourceVersion": str(at)}} for name, at in versions.items()}


def listed(membership: Membership, informer: str, version: int, *keys: Key) -> set[Key]:
    membership.begin_list(informer)
    for key in keys:
        membership.add(informer, key, version)
    return membership.end_list(informer, version)


def test_it_is_complete_when_every_informer_has_listed() -> None:
    membership = Membership()
    membership.expect("f")
    membership.expect("g")
    listed(membership, "f", 10, A)
    assert not membership.complete
    assert (membership.is_pending("f"), membership.is_pending("g")) == (False, True)
    listed(membership, "g", 10)
    assert membership.complete


def test_a_list_returns_what_it_no_longer_contains() -> None:
    membership = Membership()
    assert listed(membership, "f", 10, A, B) == set()
    assert listed(membership, "f", 20, B, C) == {A}


def test_what_was_selected_before_counts_while_a_list_is_under_way() -> None:
    membership = Membership()
    listed(membership, "f", 10, A)
    membership.begin_list("f")
    assert membership.unselected(stored(a=5)) == set()
    membership.add("f", B, 20)
    assert membership.unselected(stored(a=5, b=20)) == set()


def test_an_object_leaves_when_no_informer_selects_it() -> None:
    membership = Membership()
    listed(membership, "f", 10, A)
    listed(membership, "g", 10, A)
    assert membership.remove("f", A, 11), "the other one still does"
    assert not membership.remove("g", A, 12)


def test_an_object_of_our_own_is_unselected_once_all_informers_have_passed_its_version() -> None:
    membership = Membership()
    listed(membership, "f", 10)
    listed(membership, "g", 30)
    ours = stored(c=20)
    assert membership.unselected(ours) == set(), "f has not reported up to 20"
    membership.add("f", A, 25)
    assert membership.unselected(ours) == {C}
    membership.forget_versions()
    assert membership.unselected(ours) == set()
