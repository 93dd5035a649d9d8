"""Who sees whom, and that subjects and neighbors meet at a place exactly then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.controllers.reach import Reach


@pytest.mark.parametrize(
    ("reach", "subject", "neighbor", "allowed"),
    [
        (Reach.NAMESPACE, "a", "a", True),
        (Reach.NAMESPACE, "a", "b", False),
        (Reach.NAMESPACE, "a", "", False),
        (Reach.NAMESPACE, "", "", True),
        (Reach.NAMESPACE, "", "a", False),
        (Reach.VISIBLE, "a", "a", True),
        (Reach.VISIBLE, "a", "", True),
        (Reach.VISIBLE, "a", "b", False),
        (Reach.VISIBLE, "", "a", False),
        (Reach.USERS, "", "a", True),
        (Reach.USERS, "a", "a", True),
        (Reach.USERS, "a", "b", False),
        (Reach.ANYWHERE, "a", "b", True),
    ],
)
def test_reach(reach: Reach, subject: str, neighbor: str, allowed: bool) -> None:
    assert reach.allows(subject, neighbor) is allowed


@given(reach=st.sampled_from(Reach), subject=st.sampled_from(["", "a", "b"]), neighbor=st.sampled_from(["", "a", "b"]))
def test_they_meet_at_a_place_if_the_subject_sees_the_neighbor(reach: Reach, subject: str, neighbor: str) -> None:
    """Prove OBJ-BND-1."""
    meet = bool(set(reach.wanted(subject)) & set(reach.offered(neighbor)))
    assert meet is reach.allows(subject, neighbor)
