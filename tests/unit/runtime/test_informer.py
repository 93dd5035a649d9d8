"""Informers are data: by default they select everything, whole, of a kind that must exist."""

from dataclasses import FrozenInstanceError

import pytest

from aimd.runtime.informer import Informer
from aimd.runtime.kinds import POD


def test_by_default_an_informer_selects_every_whole_object_of_a_required_kind() -> None:
    informer = Informer(POD)
    assert (informer.label_selector, informer.field_selector, informer.indexes) == ("", "", {})
    assert (informer.optional, informer.metadata_only, informer.transform) == (False, False, None)
    assert informer == Informer(POD)


def test_an_informer_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Informer(POD).optional = True  # type: ignore[misc]
