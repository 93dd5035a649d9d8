"""What an administrator sets for all controllers."""

from aimd.planning.settings import ControllerSettings


def test_own_images_carry_the_command() -> None:
    """Prove ART-JOB-1."""
    settings = ControllerSettings(downloader_image="aimd:1", own_images=frozenset({"mirror/aimd:1"}))
    assert settings.is_own_image("aimd:1")
    assert settings.is_own_image("mirror/aimd:1")
    assert not settings.is_own_image("aimd:2")
