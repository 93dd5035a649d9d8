"""What an AIM container starts: the profile, the weights, or why it stops; by generation of the runtime.

This is an oracle for tests of what aimd renders: it says what the program inside the image would do with a container's
environment, files and mounts. It shares no code with aimd. 0.8 and 0.9 agree with the published runtimes; for later
generations it follows what is documented, and where that leaves a choice, the reading that accepts less.
"""

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import jsonschema
import referencing
import yaml

GENERATIONS = ("0.8", "0.9", "0.10", "0.11", "0.11x", "0.12")
PROFILES = "/workspace/aim-runtime/profiles"
HUB = "hf://"

_SCHEMAS = Path(__file__).parent / "data" / "aim-images" / "schemas"
_INSTINCT = "MI100 MI210 MI250X MI300A MI300X MI308X MI325X MI350X MI355X"
_RADEON = "V710 W7900 W7800 W6900X W6800 W6800X V620 RX9070 RX7900 RX6900 RX6800"
_DEVICES = frozenset(f"{_INSTINCT} {_RADEON}".split())
_LATER_DEVICES = _DEVICES | frozenset(["MI350P", "R9700", "EPYC_9965", "EPYC_ZEN5", "EPYC_ZEN4", "CPU"])
_PRECISIONS = ("int4", "int8", "fp4", "fp8", "fp16", "bf16", "fp32")
_TYPES = ("optimized", "preview", "unoptimized", "general")
_METRICS = ("latency", "throughput")
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_CUSTOM, _OF_THE_MODEL, _GENERAL = 1, 2, 3


@dataclass(frozen=True, slots=True)
class Accelerators:
    """What the container sees: the model of its GPUs and their number, or its CPU's model."""

    model: str = ""
    count: int = 0
    cpu: str = "EPYC_ZEN5"


NO_GPU = Accelerators()


@dataclass(frozen=True, slots=True)
class Image:
    """An image: its generation, its profile files by path below `PROFILES`, config.Env, and the engines it knows."""

    generation: str
    files: Mapping[str, str]
    env: Mapping[str, str] = field(default_factory=dict)
    engines: frozenset[str] = frozenset({"vllm"})


@dataclass(frozen=True, slots=True)
class Container:
    """What a pod adds to the image.

    `files` are folders mounted from ConfigMaps, by mount path and name; `weights` are folders with a model, and what
    they hold, by mount path.
    """

    env: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    weights: Mapping[str, str] = field(default_factory=dict)
    accelerators: Accelerators = NO_GPU


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile that the runtime loaded; an absent model is the empty text, as the ids of a general profile are."""

    path: str
    id: str
    priority: int
    general: bool
    aim_id: str
    model_id: str
    engine: str
    accelerator: str
    model: str
    count: int
    metric: str
    precision: str
    type: str
    manual_only: bool
    variant: str
    engine_args: Mapping[str, Any]
    env_vars: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Start:
    """An engine that starts: `model` is a folder or `hf://<id>`; empty where the engine knows its weights itself.

    `holds` is what is mounted at the folder. `rivals` are profiles that could have been taken as well: which one is
    depends on the order in which the file system lists the files.
    """

    profile: Profile
    model: str
    holds: str
    served_names: tuple[str, ...]
    engine_args: Mapping[str, Any]
    env: Mapping[str, str]
    rivals: tuple[Profile, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """A container that stops, and what it says."""

    text: str


class _Stop(Exception):
    """Ends the start of the container; the text is what it prints."""


class _Unusable(Exception):
    """A profile file that the runtime leaves out."""


def start(image: Image, container: Container) -> Start | Refusal:
    """Return what the container starts, or why it stops."""
    try:
        return _start(image, container)
    except _Stop as stop:
        return Refusal(str(stop))


def loaded(image: Image, container: Container) -> tuple[Profile, ...]:
    """Return the profiles that the runtime has to choose from, the stronger folder first; a shadowed id is left out."""
    env = {**image.env, **container.env}
    aim_id = env.get("AIM_ID", "")
    folders = {"custom": _CUSTOM, aim_id if "/" in aim_id else "": _OF_THE_MODEL, "general": _GENERAL}
    files = _visible_files(image.files, container.files)
    found: list[Profile] = []
    for folder, priority in folders.items():
        taken = {profile.id for profile in found}
        inside = sorted(path for path in files if folder and path.startswith(f"{folder}/"))
        read = [_read(image, path, files[path], priority) for path in inside if path.endswith(".yaml")]
        found += [profile for profile in read if profile is not None and profile.id not in taken]
    return tuple(found)


def _start(image: Image, container: Container) -> Start:
    env = {**image.env, **container.env}
    generation = _Generation(image.generation)
    aim_id, model_id = _identity(env)
    engine = _engine(env, image, generation)
    overrides = _engine_args(env)
    profiles = loaded(image, container)
    chosen, *rivals = _by_id(profiles, env) or _by_request(profiles, env, engine, generation, container.accelerators)
    name = chosen.model_id or model_id or aim_id
    folder = _folder(env, name, container.weights)
    arguments = _merged(chosen.engine_args, overrides, generation)
    if generation.has_schemas and overrides:
        _check_arguments(image.generation, chosen, arguments)
    own_weights = chosen.engine == "bentoml"
    return Start(
        profile=chosen,
        model="" if own_weights else folder or f"{HUB}{name}",
        holds="" if own_weights else container.weights.get(folder, ""),
        served_names=tuple(dict.fromkeys([name, *([aim_id] if aim_id else [])])),
        engine_args=arguments,
        env={**env, **chosen.env_vars},
        rivals=tuple(rivals),
    )


@dataclass(frozen=True, slots=True)
class _Generation:
    """What the generations do differently."""

    name: str

    @property
    def order(self) -> int:
        return GENERATIONS.index(self.name)

    def at_least(self, name: str) -> bool:
        return self.order >= GENERATIONS.index(name)

    @property
    def has_schemas(self) -> bool:
        return not self.at_least("0.10")

    @property
    def devices(self) -> frozenset[str]:
        return _LATER_DEVICES if self.at_least("0.11") else _DEVICES


# The environment.


def _identity(env: Mapping[str, str]) -> tuple[str, str]:
    aim_id, model_id = env.get("AIM_ID", ""), env.get("AIM_MODEL_ID", "")
    if aim_id and model_id:
        raise _Stop("Configuration error: Cannot set both AIM_ID and AIM_MODEL_ID. Only one should be set.")
    if not aim_id and not model_id:
        raise _Stop("Configuration error: Either AIM_MODEL_ID or AIM_ID environment variable is required")
    return aim_id, model_id


def _engine(env: Mapping[str, str], image: Image, generation: _Generation) -> str:
    asked = env.get("AIM_ENGINE", "vllm").lower()
    if not generation.at_least("0.10"):
        return "vllm"
    if asked not in image.engines:
        raise _Stop(f"Configuration error: No configuration for engine '{asked}' in engines.yaml")
    return asked


def _word(env: Mapping[str, str], name: str, words: Iterable[str], default: str) -> str:
    """Return a word of a list; anything else is warned about and read as the default."""
    value = env.get(name, default).lower()
    return value if value in words else default


def _flag(env: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = env.get(name, "").lower()
    return value in _TRUE if value in _TRUE + _FALSE else default


def _number(env: Mapping[str, str], *names: str) -> int | None:
    for name in names:
        try:
            return int(env.get(name, ""))
        except ValueError:
            continue
    return None


def _engine_args(env: Mapping[str, str]) -> Mapping[str, Any]:
    try:
        given = json.loads(env.get("AIM_ENGINE_ARGS") or "{}")
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def _merged(own: Mapping[str, Any], given: Mapping[str, Any], generation: _Generation) -> Mapping[str, Any]:
    if not generation.at_least("0.12"):
        return {**own, **given}
    spelled = {key.replace("_", "-"): value for key, value in own.items()}
    return {**spelled, **{key.replace("_", "-"): value for key, value in given.items()}}


def _accelerators(env: Mapping[str, str], generation: _Generation, seen: Accelerators) -> tuple[str, str, int]:
    """Return type, model and number of the accelerators that profiles are compared with."""
    if generation.at_least("0.11") and env.get("AIM_ACCELERATOR_TYPE", "gpu") == "cpu":
        return "cpu", seen.cpu, 0
    newer = generation.at_least("0.11")
    models = ("AIM_ACCELERATOR_MODEL", "AIM_GPU_MODEL") if newer else ("AIM_GPU_MODEL",)
    counts = ("AIM_ACCELERATOR_COUNT", "AIM_GPU_COUNT") if newer else ("AIM_GPU_COUNT",)
    count = _number(env, *counts)
    for name in models:
        if (model := env.get(name, "").upper()) in generation.devices:
            return "gpu", model, 1 if count is None else count
    if not seen.count:
        return "gpu", "", 0
    return "gpu", seen.model, seen.count if count is None else count


# The choice.


def _by_id(profiles: Iterable[Profile], env: Mapping[str, str]) -> list[Profile]:
    """Return the profile with the id that is asked for, without a look at anything else; none if none is asked for."""
    asked = env.get("AIM_PROFILE_ID", "")
    if not asked:
        return []
    named = [profile for profile in profiles if profile.id == asked]
    if not named:
        raise _Stop(f"Unexpected error: Specified profile ID '{asked}' not found")
    return named


def _by_request(
    profiles: Iterable[Profile], env: Mapping[str, str], engine: str, generation: _Generation, seen: Accelerators
) -> list[Profile]:
    """Return the best of the profiles that fit the request and the accelerators, with those that are just as good."""
    accelerator, model, count = _accelerators(env, generation, seen)
    metric = _word(env, "AIM_METRIC", _METRICS, "latency")
    precision = _word(env, "AIM_PRECISION", _PRECISIONS, "")
    fitting = [
        profile
        for profile in profiles
        if (profile.engine, profile.metric, profile.accelerator) == (engine, metric, accelerator)
        and (profile.general or profile.aim_id == env.get("AIM_ID"))
        and (profile.model == model or (accelerator == "cpu" and profile.model == "CPU"))
        and (profile.count == count or accelerator == "cpu")
        and precision in ("", profile.precision)
    ]
    allowed = [profile for profile in fitting if not _manual(profile, env)]
    if not allowed and generation.at_least("0.10") and _flag(env, "AIM_ALLOW_UNOPTIMIZED", default=False):
        allowed = [profile for profile in fitting if profile.type == "unoptimized"]
    if not allowed:
        raise _Stop(f"Unexpected error: No compatible profile found for AIM {env.get('AIM_ID', 'None')}.")

    def rank(profile: Profile) -> tuple[int, int, int]:
        by_type = _TYPES.index(profile.type) if generation.at_least("0.9") else 0
        return profile.priority, _PRECISIONS.index(profile.precision), by_type

    first = min(map(rank, allowed))
    best = [profile for profile in allowed if rank(profile) == first]
    if generation.at_least("0.12") and len({profile.variant for profile in best}) > 1:
        ids = ", ".join(profile.id for profile in best)
        raise _Stop(f"No profile selected: they differ only by variant. Set AIM_PROFILE_ID to one of: {ids}")
    return best


def _manual(profile: Profile, env: Mapping[str, str]) -> bool:
    fallback = _flag(env, "AIM_ALLOW_GENERAL_PROFILE_FALLBACK", default=True)
    return profile.manual_only or (profile.general and not fallback)


# The weights.


def _folder(env: Mapping[str, str], name: str, weights: Mapping[str, str]) -> str:
    """Return the folder of a model below the cache path; empty when there is none, or it cannot be looked up."""
    if name.count("/") != 1:
        return ""
    folder = str(PurePosixPath(env.get("AIM_CACHE_PATH", "/workspace/model-cache"), name))
    return folder if any(f"{path}/".startswith(f"{folder}/") for path in weights) else ""


# The files.


def _visible_files(files: Mapping[str, str], mounted: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    """Return the files as the container sees them: a mount hides what the image has below it."""
    seen = dict(files)
    for mount, contents in mounted.items():
        folder = mount.removeprefix(f"{PROFILES}/").rstrip("/")
        seen = {path: text for path, text in seen.items() if not path.startswith(f"{folder}/")}
        seen |= {f"{folder}/{name}": text for name, text in contents.items()}
    return seen


def _read(image: Image, path: str, text: str, priority: int) -> Profile | None:
    """Return the profile in a file, None for one that the runtime leaves out."""
    general, custom = "/general/" in f"/{path}", "/custom/" in f"/{path}"
    try:
        document = yaml.safe_load(text)
        _validate(image.generation, document, general=general)
        values = _metadata(image, document["metadata"])
    except (yaml.YAMLError, _Unusable):
        return None
    aim_id = "" if general else document["aim_id"]
    prefix = {(True, True): "custom/general/", (True, False): f"custom/{aim_id}/", (False, True): "general/"}
    return Profile(
        path=path,
        id=prefix.get((custom, general), "") + PurePosixPath(path).stem,
        priority=priority,
        general=general,
        aim_id=aim_id,
        model_id="" if general else document["model_id"],
        engine_args=document["engine_args"],
        env_vars=document["env_vars"],
        **values,
    )


def _validate(generation: str, document: Any, *, general: bool) -> None:
    """Raise _Unusable for a document that the generation's runtime does not load."""
    if _Generation(generation).has_schemas:
        error = next(_validator(generation, general=general).iter_errors(document), None)
        if error is not None:
            raise _Unusable(error.message)
        return
    _require(isinstance(document, dict))
    objects = ("metadata", "engine_args", "env_vars")
    _require(all(isinstance(document.get(key), dict) for key in objects))
    _require(all(isinstance(value, str) for value in document["env_vars"].values()))
    _require(general or all(isinstance(document.get(key), str) for key in ("aim_id", "model_id")))


@functools.cache
def _validator(generation: str, *, general: bool) -> jsonschema.Draft7Validator:
    names = ("general_profile_schema.json", "model_profile_schema.json", "vllm_engine_schema.json")
    schemas = {name: json.loads((_SCHEMAS / generation / name).read_text()) for name in names}
    resources = [(name, referencing.Resource.from_contents(schema)) for name, schema in schemas.items()]
    registry: referencing.Registry[Any] = referencing.Registry().with_resources(resources)
    return jsonschema.Draft7Validator(schemas[names[0] if general else names[1]], registry=registry)


def _metadata(image: Image, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a profile that its metadata has; raise _Unusable for what the generation refuses."""
    generation = _Generation(image.generation)
    newer = generation.at_least("0.11")
    model = (given.get("accelerator_model") if newer else None) or given.get("gpu")
    count = given.get("accelerator_count", given.get("gpu_count")) if newer else given.get("gpu_count")
    accelerator = given.get("accelerator_type", "gpu") if newer else "gpu"
    precision, metric, type_ = (given.get(key) for key in ("precision", "metric", "type"))
    manual = given.get("manual_selection_only")
    if not generation.has_schemas:
        model = _device(model, generation)
        count = _natural(count)
        _require(accelerator in ("gpu", "cpu"))
        _require(given.get("engine") in image.engines)
        _require(str(precision).lower() in _PRECISIONS and metric in _METRICS and type_ in _TYPES)
    if generation.at_least("0.12"):
        _require(bool(model) and count != 0 and ("accelerator_type" in given or "gpu" in given))
        manual = type_ == "unoptimized"
    elif not generation.has_schemas:
        _require(isinstance(manual, bool) and (newer or count in range(9)))
    return {
        "engine": given["engine"],
        "accelerator": accelerator,
        "model": "" if model == "NONE" else model,
        "count": count,
        "metric": metric,
        "precision": str(precision).lower(),
        "type": type_,
        "manual_only": manual,
        "variant": str(given.get("variant", "")) if generation.at_least("0.12") else "",
    }


def _natural(count: Any) -> int:
    _require(isinstance(count, int) and not isinstance(count, bool) and count >= 0)
    return int(count)


def _device(model: Any, generation: _Generation) -> str:
    if model is None and generation.at_least("0.11"):
        return ""
    _require(isinstance(model, str))
    name = model.upper()
    _require(name in generation.devices or (name == "NONE" and generation.name in ("0.11", "0.11x")))
    return "" if name == "NONE" else str(name)


def _check_arguments(generation: str, profile: Profile, arguments: Mapping[str, Any]) -> None:
    """Check what is left of the profile with the arguments of `AIM_ENGINE_ARGS`."""
    metadata = {
        "engine": profile.engine,
        "gpu": profile.model or "NONE",
        "gpu_count": profile.count,
        "metric": profile.metric,
        "precision": profile.precision,
        "type": profile.type,
        "manual_selection_only": profile.manual_only,
    }
    document = {
        "aim_id": profile.aim_id,
        "model_id": profile.model_id,
        "engine_args": arguments,
        "env_vars": dict(profile.env_vars),
        "metadata": metadata,
    }
    try:
        _validate(generation, document, general=not profile.aim_id)
    except _Unusable as error:
        raise _Stop(f"Engine arguments validation failed: {error}") from error


def _require(holds: bool) -> None:
    if not holds:
        raise _Unusable
