"""The command lines of the images that the kubelet knows."""

import sys

import pytest

from aimd.sandbox.kubelet.programs import (
    ContainerCommand,
    aimd_command_line,
    default_programs,
    image_command_line,
    model_command_line,
)

AIMD = (sys.executable, "-P", "-m", "aimd")


@pytest.mark.parametrize(
    ("command", "arguments", "runs"),
    [
        (["aimd", "download"], ["hf://a/b"], (*AIMD, "download", "hf://a/b")),
        (["/check-size.sh"], ["hf://a/b"], (*AIMD, "check-size", "hf://a/b")),
        ([], ["hf://a/b"], (*AIMD, "download", "hf://a/b")),
        ([], ["run", "--leader-elect"], (*AIMD, "run", "--leader-elect")),
        (["sh", "-c"], ["true"], ("sh", "-c", "true")),
    ],
)
def test_the_aimd_image(command: list[str], arguments: list[str], runs: tuple[str, ...]) -> None:
    assert tuple(aimd_command_line(ContainerCommand(tuple(command), tuple(arguments)))) == runs


def test_the_model_image_listens_where_it_is_told() -> None:
    assert tuple(model_command_line(ContainerCommand(ports={8000: 4711})))[-2:] == ("--port", "4711")


def test_the_model_image_of_the_sandbox_serves_or_does_what_it_is_told() -> None:
    assert tuple(image_command_line(ContainerCommand(ports={8000: 4711})))[-3:] == ("serve", "--port", "4711")
    asked = ContainerCommand(arguments=("dry-run", "--format=json"))
    assert tuple(image_command_line(asked))[-2:] == ("dry-run", "--format=json")


def test_the_first_fitting_program_wins() -> None:
    programs = default_programs("ghcr.io/example/aimd:*", "images.local/aim:*")

    def of(name: str, image: str) -> object:
        return next((item.command_line for item in programs if item.fits({"name": name, "image": image})), None)

    assert of("kserve-container", "images.local/aim:1") is image_command_line
    assert of("anything", "ghcr.io/example/aimd:1.0") is aimd_command_line
    assert of("model-download", "other/downloader:2") is aimd_command_line
    assert of("kserve-container", "amdenterpriseai/aim-base:0.10.0") is model_command_line
    assert of("discovery", "images.local/aim:1") is image_command_line
    assert of("discovery", "busybox:latest") is None
    assert of("main", "nginx") is None


def test_aimd_listens_on_the_loopback_ports_that_stand_for_those_of_the_pod() -> None:
    arguments = ("--health-probe-bind-address=:8081", "--metrics-bind-address=:8443", "--metrics-secure=true")
    asked = ContainerCommand(("aimd", "run"), arguments, {8081: 4711, 8443: 4712})
    assert tuple(aimd_command_line(asked))[-4:] == (
        "run",
        "--health-probe-bind-address=127.0.0.1:4711",
        "--metrics-bind-address=127.0.0.1:4712",
        "--metrics-secure=true",
    )
    unknown = ContainerCommand(("aimd", "run"), ("--metrics-bind-address=:1", "--metrics-bind-address=0"), {8081: 4711})
    assert tuple(aimd_command_line(unknown))[-2:] == ("--metrics-bind-address=:1", "--metrics-bind-address=0")
