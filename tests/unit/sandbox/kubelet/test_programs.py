"""The command lines of the images that the kubelet knows."""

import sys
from functools import partial

import pytest

from aimd.sandbox.kubelet.programs import (
    ContainerCommand,
    Program,
    aim_command_line,
    aimd_command_line,
    default_programs,
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


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ([], [], []),
        ([], ["dry-run", "--format=json"], ["dry-run", "--format=json"]),
        (["./entrypoint.py"], ["serve"], ["serve"]),
        (["/workspace/entrypoint.py", "list-profiles"], [], ["list-profiles"]),
    ],
)
def test_an_aim_image_does_what_its_entry_point_is_told(
    command: list[str], arguments: list[str], words: list[str]
) -> None:
    asked = ContainerCommand(tuple(command), tuple(arguments), {8000: 4711, 9000: 4712})
    line = tuple(aim_command_line("0.9", asked))
    own = ("--generation", "0.9", "--listen", "8000=4711", "--listen", "9000=4712")
    assert line[3:] == ("aimd.sandbox.aim_image.commands", *own, *words)


def test_another_command_than_the_entry_point_is_not_the_runtime() -> None:
    assert tuple(aim_command_line("0.9", ContainerCommand(("sh", "-c"), ("true",)))) == ("sh", "-c", "true")


def test_the_first_fitting_program_wins() -> None:
    own = Program(partial(aim_command_line, "0.9"), image="images.local/aim:1")
    programs = default_programs("ghcr.io/example/aimd:*", [own])

    def of(name: str, image: str) -> object:
        return next((item.command_line for item in programs if item.fits({"name": name, "image": image})), None)

    assert of("kserve-container", "images.local/aim:1") is own.command_line
    assert of("anything", "ghcr.io/example/aimd:1.0") is aimd_command_line
    assert of("model-download", "other/downloader:2") is aimd_command_line
    assert of("kserve-container", "amdenterpriseai/aim-base:0.10.0") is model_command_line
    assert of("discovery", "images.local/aim:1") is own.command_line
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
