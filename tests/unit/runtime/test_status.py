"""The merge patch of a status: exactly what changed."""

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aimd.runtime.objects import Manifest
from aimd.runtime.status import merge_patch

values = st.recursive(
    st.integers(0, 3) | st.sampled_from(["", "x"]) | st.booleans(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


@given(objects, objects)
def test_the_patch_leads_from_one_to_the_other_and_is_empty_for_equals(before: Manifest, after: Manifest) -> None:
    untouched = copy.deepcopy(before)
    assert merged(before, merge_patch(before, after)) == after
    assert merge_patch(after, after) == {}
    assert before == untouched


def test_keys_that_are_not_named_stay_and_none_removes() -> None:
    """Prove OBJ-APL-4."""
    before = {"progress": {"bytes": 5}, "status": "Pending", "path": "/a", "nested": {"old": 1, "same": 2}}
    wanted = {"status": "Ready", "path": None, "absent": None, "nested": {"same": 2}}
    patch = merge_patch(before, wanted, remove_unnamed=False)
    assert patch == {"status": "Ready", "path": None, "nested": {"old": None}}
