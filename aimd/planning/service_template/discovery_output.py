"""The output of a dry run, parsed strictly (TPL-OUT-1).

An image may print whatever it likes before and after the JSON. What is read is an array of profiles; the first counts.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from aimd.api.shared import Metric, ModelSource, Precision, ProfileType
from aimd.api.source_uri import InvalidSourceUri, SourceUri
from aimd.planning.gpus import names_no_gpu, normalize_gpu
from aimd.planning.quantities import GIBIBYTE
from aimd.planning.service_template.aim_log import missing_profile_causes, one_line, without_records

LOG_LIMIT = 1024 * 1024
"""Bytes of a log that are read; profiles have a few thousand."""
_START = re.compile(r"\[\s*\{")
_EMPTY = re.compile(r"^\[\s*\][ \t\r]*$", re.MULTILINE)
_MODEL_ID = re.compile(r"[a-zA-Z0-9_-]+/[a-zA-Z0-9._-]+")
_MOST_STARTS = 500
_LONGEST_GPU = 64
_LARGEST_INTEGER = 2**31 - 1
_LONGEST_QUOTE = 200
_BENTOML = "bentoml"
"""An engine whose images contain their weights or fetch them by themselves."""


class UnusableOutput(ValueError):
    """The output gives no profile; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class DiscoveredProfile:
    """A profile as the image reports it.

    `cpus` is the number of cores of a profile for CPUs. `remarks` name what the status has no place for. `original` is
    the array's first element as printed.
    """

    metadata: Mapping[str, Any]
    engine_args: Mapping[str, Any]
    env_vars: Mapping[str, str]
    sources: tuple[ModelSource, ...]
    original: Mapping[str, Any]
    remarks: tuple[str, ...] = ()
    cpus: int = 0

    @property
    def gpu(self) -> str:
        """GPU model, empty when the image names none."""
        return str(self.metadata.get("gpu") or "")

    @property
    def gpu_count(self) -> int:
        """Number of GPUs, 0 when the image names none."""
        return int(self.metadata.get("gpuCount") or 0)


def read_output(log: str) -> DiscoveredProfile:
    """Return the profile in a log. Raises UnusableOutput."""
    if not log.strip():
        raise UnusableOutput("the image printed nothing; an AIM image prints its profiles as JSON on dry-run")
    first = _profiles_in(log)[0]
    return read_entry(first, _models(first))


def read_entry(first: Mapping[str, Any], models: Sequence[Any]) -> DiscoveredProfile:
    """Return the profile in an entry of a dry run's output, and `models` as its sources. Raises UnusableOutput."""
    profile = _object(first, "profile")
    remarks: list[str] = []
    given = _object(profile, "metadata")
    accelerator = _accelerator(given, remarks)
    metadata = _metadata(profile, given, remarks) | accelerator.metadata()
    return DiscoveredProfile(
        metadata=metadata,
        engine_args=_object(profile, "engine_args"),
        env_vars=_texts(_object(profile, "env_vars")),
        sources=_sources(models, metadata),
        original=first,
        remarks=tuple(remarks),
        cpus=accelerator.cpus,
    )


def _profiles_in(log: str) -> Sequence[Mapping[str, Any]]:
    """Return the last array of profiles, looked for beside the lines of the log first."""
    printed = without_records(log)
    found = _last_array(printed) or (_last_array(log) if printed != log else None)
    if found is not None:
        return found
    if not _EMPTY.search(printed):
        raise UnusableOutput(f"the image printed no JSON array of profiles: {_quoted(log)}")
    causes = missing_profile_causes(log)
    if causes:
        raise UnusableOutput(f"the image has no profile for this template: {'; '.join(causes)}")
    raise UnusableOutput(f"the image printed an empty array of profiles: {_quoted(log)}")


def _last_array(log: str) -> Sequence[Mapping[str, Any]] | None:
    """Return the last array of profiles in a text that may have other content."""
    whole = _decoded(log.strip(), 0)
    if whole is not None and whole[1] == len(log.strip()) and not isinstance(whole[0], list):
        raise UnusableOutput("the image printed JSON that is no array of profiles")
    found: Sequence[Mapping[str, Any]] | None = None
    end = 0
    for match in list(_START.finditer(log))[-_MOST_STARTS:]:
        if match.start() < end:
            continue
        decoded = _decoded(log, match.start())
        if decoded is not None and _are_profiles(decoded[0]):
            found, end = decoded[0], decoded[1]
    return found


def _decoded(text: str, start: int) -> tuple[Any, int] | None:
    try:
        value, end = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return value, end


def _are_profiles(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and isinstance(item.get("profile"), dict) for item in value)
    )


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _integer(text: str) -> int | float:
    """As Kubernetes keeps numbers: 64 bits, else floating point."""
    number = int(text) if len(text) < 20 else float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is out of range")
    return number


def _float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is out of range")
    return number


_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_int=_integer, parse_float=_float)


def _object(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UnusableOutput(f"{name} of the profile is no object")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise UnusableOutput(f"{name} of the profile is no valid text") from None
    return value


def _texts(values: Mapping[str, Any]) -> Mapping[str, str]:
    wrong = [name for name, value in values.items() if not isinstance(value, str)]
    if wrong:
        raise UnusableOutput(f"env_vars of the profile are texts, but not {', '.join(sorted(wrong))}")
    return dict(values)


def _metadata(profile: Mapping[str, Any], given: Mapping[str, Any], remarks: list[str]) -> dict[str, Any]:
    """Values that a status can hold; of others only a remark is left (TPL-OUT-2)."""
    texts = {
        "aimId": _text(profile, "aim_id"),
        "modelId": _text(profile, "model_id"),
        "engine": _text(given, "engine"),
    }
    found: dict[str, Any] = {name: text for name, text in texts.items() if text}
    for name, words in (("metric", Metric), ("precision", Precision), ("type", ProfileType)):
        text = _text(given, name)
        if text.lower() in tuple(words):
            found[name] = text.lower()
        elif text:
            remarks.append(f"{name} {_quoted(text)} is none of {', '.join(words)}")
    return found


@dataclass(frozen=True, slots=True)
class _Accelerator:
    """Hardware of a profile: GPUs or, if `cpus` is set, cores of CPUs; empty and 0 for what it leaves open."""

    gpu: str = ""
    gpus: int = 0
    cpus: int = 0

    def metadata(self) -> dict[str, Any]:
        """Return what a status says about it."""
        return {name: value for name, value in (("gpu", self.gpu), ("gpuCount", self.gpus)) if value}


def _accelerator(given: Mapping[str, Any], remarks: list[str]) -> _Accelerator:
    """Return the hardware of a profile under the keys of older images, else of newer ones (TPL-OUT-4).

    Images for CPUs count cores, and those that know no such profiles print 0 GPUs of any model.
    """
    kind = _text(given, "accelerator_type").lower()
    model = _text(given, "gpu") or _text(given, "accelerator_model")
    old, new = _count(given, "gpu_count"), _count(given, "accelerator_count")
    if kind not in ("", "gpu") or names_no_gpu(model):
        return _Accelerator(cpus=new or 0)
    count = new if old is None else old
    if len(model) > _LONGEST_GPU:
        remarks.append("the name of the GPU is too long")
        model = ""
    return _Accelerator(normalize_gpu(model) if count != 0 else "", count or 0)


def _count(values: Mapping[str, Any], name: str) -> int | None:
    count = values.get(name)
    if count is None:
        return None
    if isinstance(count, bool) or not isinstance(count, int):
        raise UnusableOutput(f"{name} of the profile is no whole number")
    if not 0 <= count <= _LARGEST_INTEGER:
        raise UnusableOutput(f"{name} of the profile is {count}")
    return count


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    if value is not None and not isinstance(value, str):
        raise UnusableOutput(f"{name} of the profile is no text")
    return (value or "").strip()


def _models(first: Mapping[str, Any]) -> Sequence[Any]:
    models = first.get("models")
    if models is None:
        return ()
    if not isinstance(models, list):
        raise UnusableOutput("models of the profile is no array")
    return models


def _sources(models: Sequence[Any], metadata: Mapping[str, Any]) -> tuple[ModelSource, ...]:
    """Return the sources of the weights to download (TPL-OUT-5)."""
    sources = tuple(_source(entry) for entry in models)
    return sources if metadata.get("engine") != _BENTOML else ()


def _source(entry: Any) -> ModelSource:
    if not isinstance(entry, dict):
        raise UnusableOutput("a model of the profile is no object")
    name, uri = _text(entry, "name"), _text(entry, "source")
    if not _MODEL_ID.fullmatch(name):
        raise UnusableOutput(f"model {_quoted(name)!r} of the profile is not named organization/name")
    try:
        SourceUri.parse(uri)
    except InvalidSourceUri as error:
        raise UnusableOutput(f"source of model {name} of the profile: {error}") from None
    fields = {"modelId": name, "sourceUri": uri}
    size = _size(entry.get("size_gb"), name)
    try:
        return ModelSource.model_validate({**fields, "size": size} if size else fields)
    except ValidationError as error:
        raise UnusableOutput(f"model {name} of the profile: {error.errors()[0]['msg']}") from None


def _size(gigabytes: Any, name: str) -> str:
    """Bytes as the API server would write them: the largest binary unit that divides them, else the plain number."""
    if gigabytes is None:
        return ""
    if isinstance(gigabytes, bool) or not isinstance(gigabytes, int | float) or not 0 <= gigabytes < 2**30:
        raise UnusableOutput(f"size_gb of model {name} is {_quoted(str(gigabytes))}")
    return binary_quantity(int(gigabytes * GIBIBYTE))


def binary_quantity(size: int) -> str:
    """Return a number of bytes in its canonical binary form: `512Mi`, `16Gi`, or plain bytes; empty for none."""
    if size <= 0:
        return ""
    for power, unit in ((4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki")):
        if size % 1024**power == 0:
            return f"{size // 1024**power}{unit}"
    return str(size)


def _quoted(text: str) -> str:
    return one_line(text, _LONGEST_QUOTE)
