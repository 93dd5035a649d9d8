"""Profiles of an image: the files below `/workspace/aim-runtime/profiles`, read as the image itself would read them.

Files of all generations of AIM images are accepted. They are foreign content: reading them is bounded, and one that
cannot be used is left out and named.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

import yaml

from aimd.api.shared import Metric, Precision, ProfileType
from aimd.planning.environment import AIM_ID
from aimd.planning.gpus import names_no_gpu, normalize_gpu
from aimd.planning.image_generation import refusal
from aimd.runtime.objects import Manifest

PROFILES_PATH: Final = "/workspace/aim-runtime/profiles"
"""Folder of the profiles in an image."""
VLLM: Final = "vllm"
"""The engine that images assume without `AIM_ENGINE`."""
GPU: Final = "gpu"
CPU: Final = "cpu"
MOST_FILES: Final = 512
MOST_BYTES: Final = 1024 * 1024
"""Of all files together; the files of real images have less than 100 KiB."""

_LONGEST_FILE = 32 * 1024
_LONGEST_DOCUMENT = 64 * 1024
"""As JSON, with aliases expanded; the status of a template holds it."""
_LONGEST_PLAIN = 4096
_MOST_NODES = 5000
_MOST_ALIASES = 8
_DEEPEST = 32
_LARGEST_COUNT = 2**31 - 1
_LARGEST_INTEGER = 2**63
_MOST_REMARKS = 8
_LONGEST_QUOTE = 120
_SUFFIX = ".yaml"
_IDS = re.compile(r"[a-zA-Z0-9_-]+/[a-zA-Z0-9._-]+")
_QUOTES = ("'", '"', "|", ">")
_STEM = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,199}")
_ENGINE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}")
_DEVICE = re.compile(r"[A-Z0-9][A-Z0-9._-]{0,63}")
_TYPES = tuple(ProfileType)
_PRECISIONS = tuple(word for word in Precision if word is not Precision.AUTO)


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile of an image.

    `path` is its file below the folder of profiles. `accelerator` is `gpu` or `cpu`; `count` is the number of GPUs or
    of CPU cores, `device` the model in its usual spelling, empty if the profile names none. A profile that asks for no
    GPU is one for CPUs. `manual_only` is whether it is never chosen automatically, `primary` whether the image
    recommends it, None where the file does not say. `document` is the file itself.
    """

    id: str
    path: str
    aim_id: str
    model_id: str
    engine: str
    accelerator: str
    device: str
    count: int
    metric: str
    precision: str
    type: str
    manual_only: bool
    primary: bool | None
    engine_args: Mapping[str, Any]
    env_vars: Mapping[str, str]
    document: Mapping[str, Any]

    @property
    def is_general(self) -> bool:
        """Whether the profile fits any model."""
        return _is_general(self.path)

    @property
    def stem(self) -> str:
        """Name of the file without its suffix."""
        return PurePosixPath(self.path).stem

    @property
    def gpu_count(self) -> int:
        """Number of GPUs, 0 for a profile for CPUs."""
        return self.count if self.accelerator == GPU else 0

    @property
    def cpu_count(self) -> int:
        """Number of CPU cores, 0 for a profile for GPUs."""
        return self.count if self.accelerator == CPU else 0


@dataclass(frozen=True, slots=True)
class ProfilesRead:
    """The profiles that the image can run, by priority and path; `rejected` names files that were left out, and why.

    `aim_id` is the model that the image is made for, empty for a base image.
    """

    profiles: tuple[Profile, ...] = ()
    rejected: tuple[str, ...] = ()
    aim_id: str = ""

    def by_id(self, profile_id: str) -> Profile | None:
        """Return the profile with this id."""
        return next((profile for profile in self.profiles if profile.id == profile_id), None)


class _Rejected(ValueError):
    """A file that cannot be used; the message says what is wrong with it."""


@dataclass(slots=True)
class _Remarks:
    """Remarks on files, at most a few."""

    texts: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, path: str, problem: str) -> None:
        self.count += 1
        if self.count <= _MOST_REMARKS:
            self.texts.append(f"{_quoted(path)}: {problem}")

    def all(self) -> tuple[str, ...]:
        more = self.count - len(self.texts)
        return (*self.texts, f"{more} more files") if more else tuple(self.texts)


def read_profiles(files: Mapping[str, str], env: Mapping[str, str]) -> ProfilesRead:
    """Return the profiles in `files`, texts by path; `env` is that of the image (OBJ-PRO-1). Never raises.

    Those of other models, and those that the image's generation does not accept (OBJ-PRO-4), are not loaded by the
    image; of two with the same id, the first counts (OBJ-PRO-2).
    """
    aim_id = env.get(AIM_ID, "").strip()
    remarks = _Remarks()
    found: dict[str, Profile] = {}
    left = MOST_BYTES
    loaded = [path for path in files if path.endswith(_SUFFIX) and _priority(path, aim_id) is not None]
    for position, path in enumerate(sorted(loaded, key=lambda path: (_priority(path, aim_id), path))):
        left -= len(files[path])
        try:
            if position >= MOST_FILES or left < 0:
                raise _Rejected(f"the image has more than {MOST_FILES} profiles, or more than {MOST_BYTES} bytes")
            profile = _profile(path, files[path])
            if problem := refusal(profile.document["metadata"], env):
                raise _Rejected(problem)
        except _Rejected as problem:
            remarks.add(path, str(problem))
            continue
        if found.setdefault(profile.id, profile) is not profile:
            remarks.add(path, f"{found[profile.id].path} has the same id")
    return ProfilesRead(tuple(found.values()), remarks.all(), aim_id)


def _priority(path: str, aim_id: str) -> int | None:
    """Return the place of a file's folder in the order in which the image loads them, None if it does not."""
    folders = PurePosixPath(path).parts[:-1]
    if not folders:
        return None
    if folders[0] == "custom":
        return 0
    if folders[0] == "general":
        return 2
    return 1 if aim_id and folders[: aim_id.count("/") + 1] == tuple(aim_id.split("/")) else None


def _profile(path: str, text: str) -> Profile:
    """Return the profile in a file. Raises _Rejected."""
    stem = PurePosixPath(path).stem
    if not _STEM.fullmatch(stem):
        raise _Rejected("the file name cannot be the id of a profile")
    document = _document(text)
    metadata, args, env = (_section(document, name) for name in ("metadata", "engine_args", "env_vars"))
    aim_id, model_id = (_identity(document, name, required=not _is_general(path)) for name in ("aim_id", "model_id"))
    wrong = next((name for name, value in env.items() if not isinstance(value, str)), None)
    if wrong is not None:
        raise _Rejected(f"env_vars.{_quoted(wrong)} is no text")
    accelerator, device, count = _accelerator(metadata)
    kind = _word(metadata, "type", _TYPES)
    return Profile(
        id=_id(path, stem, aim_id),
        path=path,
        aim_id=aim_id,
        model_id=model_id,
        engine=_engine(metadata),
        accelerator=accelerator,
        device=device,
        count=count,
        metric=_word(metadata, "metric", tuple(Metric)),
        precision=_word(metadata, "precision", _PRECISIONS),
        type=kind,
        manual_only=_flag(metadata, "manual_selection_only", default=kind == ProfileType.UNOPTIMIZED),
        primary=_flag(metadata, "primary", default=None),
        engine_args=args,
        env_vars=env,
        document=document,
    )


def _id(path: str, stem: str, aim_id: str) -> str:
    """Return the id: the class of the folder and the stem of the file, never made from metadata (OBJ-PRO-2)."""
    is_custom = PurePosixPath(path).parts[0] == "custom"
    if _is_general(path):
        return f"custom/general/{stem}" if is_custom else f"general/{stem}"
    return f"custom/{aim_id}/{stem}" if is_custom else stem


def _is_general(path: str) -> bool:
    return "general" in PurePosixPath(path).parts[:-1]


def _document(text: str) -> Manifest:
    """Return the YAML in a text, as JSON can hold it. Raises _Rejected."""
    if len(text) > _LONGEST_FILE:
        raise _Rejected(f"the file is longer than {_LONGEST_FILE} bytes")
    try:
        _check_structure(text)
        value = yaml.load(text, _Loader)  # noqa: S506 (a safe loader)
        if not isinstance(value, dict):
            raise _Rejected("the file has no fields")
        for item in _walked(value):
            if isinstance(item, int) and abs(item) >= _LARGEST_INTEGER:
                raise _Rejected("a number is too large")
        size = len(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())
    except _Rejected:
        raise
    except yaml.YAMLError as error:
        raise _Rejected(f"the file is not YAML: {_quoted(str(error))}") from None
    except (ValueError, OverflowError, TypeError, RecursionError):
        raise _Rejected("the file has values that JSON does not have") from None
    if size > _LONGEST_DOCUMENT:
        raise _Rejected(f"the profile is longer than {_LONGEST_DOCUMENT} bytes")
    return value


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen at run time
    """Loads values that JSON has: a date stays the text that it is."""

    yaml_implicit_resolvers: Final = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _check_structure(text: str) -> None:
    """Check that a text is cheap to load: no tags, few aliases, bounded depth and size. Raises _Rejected."""
    nodes = aliases = depth = 0
    for event in yaml.parse(text, _Loader):
        nodes += isinstance(event, yaml.NodeEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if nodes > _MOST_NODES or depth > _DEEPEST or aliases > _MOST_ALIASES:
            raise _Rejected("the file has too many values, levels or aliases")
        if getattr(event, "tag", None) is not None:
            raise _Rejected("the file has tags")
        if isinstance(event, yaml.ScalarEvent) and event.style not in _QUOTES and len(event.value) > _LONGEST_PLAIN:
            raise _Rejected("a value is too long")


def _walked(value: Any) -> Iterable[Any]:
    """Yield all values. Raises _Rejected for a key that is no text; aliases make cycles possible, hence the bound."""
    left, seen = [value], 0
    while left:
        item = left.pop()
        seen += 1
        if seen > 100 * _MOST_NODES:
            raise _Rejected("the file has too many values, levels or aliases")
        yield item
        if isinstance(item, dict):
            if not all(isinstance(key, str) for key in item):
                raise _Rejected("a key is no text")
            left += item.values()
        elif isinstance(item, list):
            left += item


def _section(document: Mapping[str, Any], name: str) -> Manifest:
    value = document.get(name)
    if not isinstance(value, dict):
        raise _Rejected(f"{name} is {'missing' if value is None else 'no object'}")
    return value


def _identity(document: Mapping[str, Any], name: str, *, required: bool) -> str:
    """Return `aim_id` or `model_id`; the image looks for weights only below an id with exactly one slash."""
    value = document.get(name)
    if value is None and not required:
        return ""
    if not isinstance(value, str) or not _IDS.fullmatch(value):
        raise _Rejected(f"{name} is {'missing' if value is None else 'not organization/name'}")
    return value


def _accelerator(metadata: Mapping[str, Any]) -> tuple[str, str, int]:
    """Return accelerator, device and count; `gpu` and `gpu_count` win over their successors (OBJ-PRO-3)."""
    kind = _text(metadata, "accelerator_type").lower()
    if kind not in ("", GPU, CPU):
        raise _Rejected(f"metadata.accelerator_type {_quoted(kind)} is neither gpu nor cpu")
    names = ("accelerator_model", "gpu") if kind == CPU else ("gpu", "accelerator_model")
    counts = ("accelerator_count", "gpu_count") if kind == CPU else ("gpu_count", "accelerator_count")
    model = next((text for name in names if (text := _text(metadata, name))), "")
    count = next((metadata[name] for name in counts if metadata.get(name) is not None), None)
    if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= _LARGEST_COUNT:
        raise _Rejected(f"metadata.{counts[0]} is {'missing' if count is None else 'no whole number'}")
    device = _device(model)
    if kind == CPU or names_no_gpu(model):
        return CPU, device, count if device or kind == CPU else 0
    return (GPU, device, count) if count else (CPU, "", 0)


def _device(model: str) -> str:
    name = normalize_gpu(model)
    if name in ("", "NONE"):
        return ""
    if not _DEVICE.fullmatch(name):
        raise _Rejected(f"the accelerator {_quoted(name)} is no name of a model")
    return name


def _engine(metadata: Mapping[str, Any]) -> str:
    engine = _text(metadata, "engine")
    if not _ENGINE.fullmatch(engine):
        raise _Rejected(f"metadata.engine is {'not a name' if engine else 'missing'}")
    return engine


def _word(metadata: Mapping[str, Any], name: str, words: tuple[str, ...]) -> str:
    text = _text(metadata, name).lower()
    if text not in words:
        what = f"{_quoted(text)} is none of {', '.join(words)}" if text else "is missing"
        raise _Rejected(f"metadata.{name} {what}")
    return text


def _text(metadata: Mapping[str, Any], name: str) -> str:
    value = metadata.get(name)
    if value is not None and not isinstance(value, str):
        raise _Rejected(f"metadata.{name} is no text")
    return (value or "").strip()


def _flag(metadata: Mapping[str, Any], name: str, *, default: Any) -> Any:
    value = metadata.get(name)
    if value is not None and not isinstance(value, bool):
        raise _Rejected(f"metadata.{name} is neither true nor false")
    return default if value is None else value


def _quoted(text: str) -> str:
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= _LONGEST_QUOTE else f"{line[:_LONGEST_QUOTE]}…"
