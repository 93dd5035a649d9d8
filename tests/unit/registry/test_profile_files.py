"""The value alone; tests of the images have whole inspections."""

from aimd.registry.profile_files import NO_PROFILES, ProfileFiles


def test_an_image_without_profile_files() -> None:
    assert ProfileFiles({}, unreadable="", remarks=()) == NO_PROFILES
