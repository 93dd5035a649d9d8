"""The AIM images of the sandbox: one per generation for a small model, and base images without a model.

In the registry they are as AMD's Dockerfiles make them: environment, labels, history, and the profile files in small
layers of their own. Labels and profile files are those of AMD's images, changed for the small model (data/, MIT license
in data/LICENSE). Left out: every other file, `PATH`, attestations, and the layers of the images below.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import httpx

from aimd.sandbox.aim_image.container_root import ENGINES, PROFILES
from aimd.sandbox.aim_image.generations import Generation, generation_of
from aimd.sandbox.image_registry import Image, Layer, push_image, start_registry
from aimd.sandbox.kubelet.programs import ImageContent, Program, aim_command_line
from aimd.sandbox.processes import Supervisor

HOST = "images.sandbox.local"
MODEL = "Qwen/Qwen2.5-0.5B-Instruct"
REPOSITORY = "amdenterpriseai/aim-qwen-qwen2-5-0-5b-instruct"
BASE_REPOSITORY = "amdenterpriseai/aim-base"

_DATA = Path(__file__).parent / "data"
_RUNTIME = "/workspace/aim-runtime"
_ENGINES = "vllm:\n  launch: python -m vllm.entrypoints.openai.api_server\n  model_arg: --model\n  validator: vllm\n"
_PARENTS = {
    Generation.V0_8: "docker.io/rocm/7.0:rocm7.0_vllm_0.10.1",
    Generation.V0_9: "docker.io/rocm/vllm:rocm7.0_vllm_0.11.1",
    Generation.V0_11: "docker.io/vllm/vllm-openai-rocm:v0.19.0",
    Generation.V0_12: "docker.io/vllm/vllm-openai-rocm:v0.25.0",
}


@dataclass(frozen=True)
class AimImage:
    """An image; without an `aim_id`, it is a base image."""

    generation: Generation
    tag: str
    aim_id: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables besides those that all images of the generation have."""

    @property
    def repository(self) -> str:
        """Return the repository."""
        return REPOSITORY if self.aim_id else BASE_REPOSITORY

    @property
    def reference(self) -> str:
        """Return the name of the image, as in a pod."""
        return f"{HOST}/{self.repository}:{self.tag}"

    @cached_property
    def labels(self) -> dict[str, str]:
        """Return the labels."""
        name = "labels" if self.aim_id else "base-labels"
        labels: dict[str, str] = json.loads((self._folder / f"{name}.json").read_text(encoding="utf-8"))
        return labels | {"org.opencontainers.image.version": self.tag}

    @cached_property
    def variables(self) -> dict[str, str]:
        """Return the environment that is baked in, in its order."""
        below = self._base_reference if self.aim_id else _PARENTS[self.generation]
        mark = "AIM_BASE_VERSION" if self.generation == Generation.V0_8 else "AIM_BASE_IMAGE_REF"
        later = self.generation >= Generation.V0_11
        return {
            "PYTHONUNBUFFERED": "1",
            "DEBIAN_FRONTEND": "noninteractive",
            "PYTHONPATH": f"{_RUNTIME}/src",
            "HF_HOME": "/workspace/model-cache",
            "HF_DATASETS_CACHE": "/workspace/model-cache",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **({"AIM_CONFIG_PATH": f"{_RUNTIME}/config"} if later else {}),
            **({"AIM_ACCELERATOR_FAMILY": "instinct", "AIM_ACCELERATOR_TYPE": "gpu"} if later else {}),
            **({"AIM_UPSTREAM_IMAGE_REF": _PARENTS[self.generation]} if later else {}),
            **({"AIM_EVAL_BACKEND_COMMAND": "lm_eval"} if self.generation >= Generation.V0_12 else {}),
            mark: below,
            "AIM_ALLOW_GENERAL_PROFILE_FALLBACK": "false" if self.aim_id else "true",
            **({"AIM_ID": self.aim_id} if self.aim_id else {}),
            **self.environment,
        }

    @cached_property
    def general_profiles(self) -> dict[str, bytes]:
        """Return the general profiles by their path in the container."""
        return dict(_files(self._folder / "general", f"{PROFILES}/general"))

    @cached_property
    def own_profiles(self) -> dict[str, bytes]:
        """Return the profiles of the model by their path in the container."""
        return dict(_files(self._folder / "models" / self.aim_id, f"{PROFILES}/{self.aim_id}")) if self.aim_id else {}

    @cached_property
    def engines(self) -> dict[str, bytes]:
        """Return the list of engines by its path in the container; older images have none."""
        return {ENGINES: _ENGINES.encode()} if self.generation >= Generation.V0_11 else {}

    def image(self) -> Image:
        """Return the image for the registry."""
        variables = [f"{name}={value}" for name, value in self.variables.items()]
        return Image(self.labels, env=variables, layers=tuple(self._layers()))

    def program(self, image: str = "") -> Program:
        """Return the program for the kubelet, for this image or for others with this pattern.

        The generation is that of the image's own environment.
        """
        generation = generation_of(self.variables).label
        content = ImageContent(self.variables, {**self.general_profiles, **self.own_profiles, **self.engines})
        return Program(partial(aim_command_line, generation), image=image or self.reference, content=content)

    @property
    def _base_reference(self) -> str:
        return f"docker.io/{BASE_REPOSITORY}:{self.tag}"

    @property
    def _folder(self) -> Path:
        return _DATA / self.generation.label

    def _layers(self) -> Iterator[Layer]:
        """Yield the history as BuildKit writes it, from the parent to the profiles of the model."""
        family = "assets/instinct/base/" if self.generation >= Generation.V0_11 else ""
        yield Layer('/bin/sh -c #(nop)  CMD ["/bin/bash"]', empty=True)
        yield Layer("RUN /bin/sh -c apt-get update # buildkit", {"etc/os-release": b"ID=ubuntu\n"})
        yield Layer("WORKDIR /workspace")
        yield Layer(f"COPY src/ {_RUNTIME}/src/ # buildkit")
        general = f"{family}profiles/general"
        yield Layer(f"COPY {general} {PROFILES}/general # buildkit", _relative(self.general_profiles))
        if self.engines:
            yield Layer(f"COPY {family}config {_RUNTIME}/config # buildkit", _relative(self.engines))
        else:
            yield Layer(f"COPY schemas {_RUNTIME}/schemas # buildkit")
        yield Layer("RUN /bin/sh -c pip install --no-cache-dir -r requirements.txt # buildkit")
        yield Layer("RUN /bin/sh -c mkdir -p /workspace/model-cache # buildkit")
        yield Layer('ENTRYPOINT ["./entrypoint.py"]', empty=True)
        if self.aim_id:
            yield from self._own_layers()

    def _own_layers(self) -> Iterator[Layer]:
        organization, model = self.aim_id.split("/")
        ran = f"RUN |2 ORG={organization} MODEL={model} /bin/sh -c"
        source = "assets/instinct" if self.generation >= Generation.V0_11 else "profiles"
        target = "/profiles" if self.generation >= Generation.V0_11 else "/"
        yield Layer(f"ARG ORG={organization}", empty=True)
        yield Layer(f"ARG MODEL={model}", empty=True)
        yield Layer(f'{ran} test -n "${{ORG}}" # buildkit')
        yield Layer(f"ENV AIM_ID={self.aim_id}", empty=True)
        yield Layer(f'{ran} echo "AIM ID: ${{AIM_ID}}" # buildkit')
        copied = f"COPY {source}/{self.aim_id}{target} {PROFILES}/{self.aim_id}/ # buildkit"
        yield Layer(copied, _relative(self.own_profiles))
        if self.generation >= Generation.V0_11:
            yield Layer(f"{ran} test -f /workspace/LICENSE # buildkit")
        yield Layer('ENTRYPOINT ["./entrypoint.py"]', empty=True)


IMAGES = (
    AimImage(Generation.V0_8, "0.8.5", MODEL),
    AimImage(Generation.V0_9, "0.9.0", MODEL),
    AimImage(Generation.V0_11, "0.11.1", MODEL),
    AimImage(Generation.V0_12, "0.12.0", MODEL),
    AimImage(Generation.V0_9, "0.9.0"),
    AimImage(Generation.V0_12, "0.12.0"),
)
"""All images of the sandbox's registry."""


def image_of(generation: Generation, *, base: bool = False) -> AimImage:
    """Return the image of a generation: that of the model, or the base. Raises StopIteration if there is none."""
    return next(item for item in IMAGES if item.generation == generation and bool(item.aim_id) != base)


LABELLED = image_of(Generation.V0_9)
"""An image whose label recommends deployments."""

UNLABELLED = image_of(Generation.V0_12)
"""An image that recommends nothing: its profile files tell what it can do."""

BASE = image_of(Generation.V0_9, base=True)
"""An image for weights of one's own."""


ELSEWHERE = ("amdenterpriseai/aim-base:*", "amdenterpriseai/aim-vllm-base:*")
"""Images on Docker Hub that the kubelet runs as `BASE`, whatever their tag; the operator can't read them here."""


async def start_image_registry(supervisor: Supervisor, binary: Path) -> str:
    """Start a registry with the images, and return its URL. Raises ProcessFailed or httpx.HTTPError."""
    url = f"http://127.0.0.1:{await start_registry(supervisor, binary)}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        for item in IMAGES:
            await push_image(http, item.repository, item.tag, item.image())
    return url


def programs() -> tuple[Program, ...]:
    """Return the programs of the images, and of base images on Docker Hub, for the kubelet."""
    return (*(item.program() for item in IMAGES), *(BASE.program(pattern) for pattern in ELSEWHERE))


def _files(folder: Path, path: str) -> Iterator[tuple[str, bytes]]:
    for file in sorted(folder.rglob("*.yaml")):
        yield f"{path}/{file.relative_to(folder)}", file.read_bytes()


def _relative(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {path.lstrip("/"): content for path, content in files.items()}
