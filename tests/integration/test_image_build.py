"""The image as it is built: it runs read-only as its user, downloads, gets ready, and is small."""

import os
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import anyio
import pytest

from aimd.api.crd import write_crds
from aimd.runtime.client import ClientOptions, connect
from aimd.sandbox.control_plane import ControlPlane
from aimd.sandbox.hub import HubSettings, make_repository, run_hub
from aimd.sandbox.manifests import apply_manifests, read_manifests
from tests.faults.s3 import object_store, s3_client
from tests.integration.image_build import Image, built_image, missing, terminate
from tests.integration.operator_process import eventually, free_port, ready

JOB_USER = 1000
MEGABYTE = 10**6
# What the Dockerfile adds to its base, as pulled and as unpacked; a quarter above what it was when this was written.
COMPRESSED = 40 * MEGABYTE
UNPACKED = 130 * MEGABYTE
IMPORT_ALL = """
import importlib, pkgutil, aimd
for module in pkgutil.walk_packages(aimd.__path__, "aimd."):
    if not module.name.startswith("aimd.sandbox") and module.name != "aimd.cli.sandbox":
        importlib.import_module(module.name)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),  # The first test builds, and the first run on a machine makes the base.
    pytest.mark.skipif(missing() != "", reason=missing()),
]


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with built_image() as image:
        yield image


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """An empty volume as a download job gets it: the job's group may write."""
    folder = tmp_path / "volume"
    folder.mkdir()
    os.chown(folder, 0, JOB_USER)
    folder.chmod(0o775)
    return folder


def test_it_names_its_version_and_explains_its_flags(image: Image) -> None:
    assert image.run("--version").stdout.startswith(f"aimd {version('aimd')} ")
    help_text = image.run("run", "--help")
    assert (help_text.returncode, "--leader-elect" in help_text.stdout + help_text.stderr) == (0, True)


def test_it_is_not_root_and_its_root_is_read_only(image: Image) -> None:
    assert image.run("-u", program=["id"]).stdout == "65532\n"
    # /cache is the image user's own folder: what refuses here is the file system, not a permission.
    refused = image.run("/cache/new", program=["touch"])
    assert (refused.returncode, "Read-only file system" in refused.stderr) == (1, True)


def test_every_module_finds_what_it_imports(image: Image) -> None:
    imported = image.run("-c", IMPORT_ALL, program=["python"])
    assert imported.returncode == 0, imported.stderr


def test_nothing_is_compiled_at_start(image: Image) -> None:
    """The root is read-only: what is not compiled in the image is compiled anew by each process."""
    told = image.run("-v", "-m", "aimd", "--version", program=["python"]).stderr
    assert "# code object from '/opt/aimd/" in told  # quoted: read from a compiled file
    assert [line for line in told.splitlines() if line.startswith("# code object from /opt/aimd")] == []


async def test_a_job_downloads_from_the_hub(image: Image, volume: Path, tmp_path: Path) -> None:
    weights = make_repository(tmp_path / "hub", "demo/tiny", 3 * MEGABYTE) / "model.safetensors"
    job = f"{JOB_USER}:{JOB_USER}"
    async with anyio.create_task_group() as tasks:
        endpoint = await tasks.start(run_hub, HubSettings(tmp_path / "hub"))

        def work() -> tuple[subprocess.CompletedProcess[str], subprocess.CompletedProcess[str]]:
            arguments = {"user": job, "HF_ENDPOINT": endpoint, "AIM_DOWNLOADER_PROTOCOL": "XET,HF_TRANSFER"}
            size = image.run("hf://demo/tiny", program=["/check-size.sh"], **arguments)
            return size, image.run("hf://demo/tiny", cache=volume, **arguments)

        size, download = await anyio.to_thread.run_sync(work)
        tasks.cancel_scope.cancel()
    assert '"sizeBytes"' in size.stdout, size.stderr
    assert download.returncode == 0, download.stderr
    assert (volume / "model.safetensors").read_bytes() == weights.read_bytes()
    assert (volume / "model.safetensors").stat().st_uid == JOB_USER


def test_a_job_downloads_from_an_object_store(image: Image, volume: Path) -> None:
    weights = os.urandom(3 * MEGABYTE)
    with object_store() as port:
        endpoint = f"http://127.0.0.1:{port}"
        client = s3_client(endpoint)
        client.create_bucket(Bucket="weights")
        client.put_object(Bucket="weights", Key="models/a/model.safetensors", Body=weights)
        download = image.run(
            "s3://weights/models/a",
            cache=volume,
            user=f"{JOB_USER}:{JOB_USER}",
            AWS_ENDPOINT_URL=endpoint,
            AWS_ACCESS_KEY_ID="reader",
            AWS_SECRET_ACCESS_KEY="reader",
            AWS_EC2_METADATA_DISABLED="1",
        )
    assert download.returncode == 0, download.stderr
    assert (volume / "model.safetensors").read_bytes() == weights


async def test_the_operator_gets_ready_and_stops_as_process_1(
    image: Image, api_server: ControlPlane, volume: Path, tmp_path: Path
) -> None:
    write_crds(tmp_path / "crds")
    async with connect(ClientOptions(kubeconfig=api_server.kubeconfig)) as admin:
        await apply_manifests(admin, read_manifests(tmp_path / "crds"))
    (volume / "kubeconfig").write_bytes(api_server.kubeconfig.read_bytes())
    address = f"127.0.0.1:{free_port()}"
    flags = ["--kubeconfig=/cache/kubeconfig", f"--health-probe-bind-address={address}"]
    log = tmp_path / "log"
    with image.running(*flags, log=log, cache=volume) as container:
        await eventually(lambda: ready(f"http://{address}"), log)
        terminate(container)
        with anyio.fail_after(30):
            assert await anyio.to_thread.run_sync(container.wait) == 0


def test_it_is_small(image: Image) -> None:
    parts = sorted(_sizes(image.root / "opt" / "aimd").items(), key=lambda part: -part[1])
    base, *added = image.layers
    unpacked = sum(size for _, size in parts)
    print(f"\nbase {base / MEGABYTE:.1f} MB compressed")
    print(f"aimd {sum(added) / MEGABYTE:.1f} MB compressed, {unpacked / MEGABYTE:.1f} MB unpacked, of it:")
    for name, size in parts[:12]:
        print(f"  {size / MEGABYTE:5.1f} MB  {name}")
    assert sum(added) < COMPRESSED
    assert unpacked < UNPACKED


def _sizes(environment: Path) -> dict[str, int]:
    """Bytes in files of each package of a virtual environment, and of what lies beside the packages."""
    (packages,) = environment.glob("lib/python*/site-packages")
    sizes: dict[str, int] = {}
    for file in environment.rglob("*"):
        if file.is_file() and not file.is_symlink():
            owner = file.relative_to(packages).parts[0] if file.is_relative_to(packages) else "scripts"
            sizes[owner] = sizes.get(owner, 0) + file.stat().st_size
    return sizes
