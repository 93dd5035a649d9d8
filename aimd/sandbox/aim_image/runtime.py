"""The runtime of an AIM image: read the environment, load the profiles, choose one, and print or start it."""

# tests: tests/unit/sandbox/aim_image/test_commands.py

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from aimd.sandbox.aim_image import reports
from aimd.sandbox.aim_image.configuration import Configuration, read_configuration
from aimd.sandbox.aim_image.container_root import container_root
from aimd.sandbox.aim_image.engine_command import (
    Launch,
    engine_command,
    read_launch,
    script,
    served_model,
    served_names,
    weights_path,
)
from aimd.sandbox.aim_image.generations import Generation
from aimd.sandbox.aim_image.hardware import Hardware, detect, visible_gpus
from aimd.sandbox.aim_image.hub_size import hub_size
from aimd.sandbox.aim_image.logs import RUNTIME as LOG
from aimd.sandbox.aim_image.logs import set_levels
from aimd.sandbox.aim_image.profiles import Profile, load_profiles
from aimd.sandbox.aim_image.selection import UNKNOWN, assess, choose, states

_RULE = "=" * 80


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine to start. `model` is the folder with the weights, or the id of a model without a folder.

    `variables` are those of the profile, which win over those of the container.
    """

    command: tuple[str, ...]
    model: str
    names: tuple[str, ...]
    port: int
    variables: Mapping[str, str]
    profile_id: str


class Runtime:
    """One run in one container."""

    def __init__(self, environment: Mapping[str, str], generation: Generation) -> None:
        self.root = container_root(environment)
        self._environment = environment
        if not generation.by_schema:
            self._set_levels()
        self.configuration = read_configuration(environment, generation)
        self._set_levels()

    def dry_run(self, *, as_json: bool) -> str:
        """Return what a dry run prints. Raises ProfileNotFound if that is no array."""
        profiles, hardware, launch = self._load()
        if self.configuration.generation.by_schema and not as_json:
            return self._selected(choose(profiles, self.configuration, hardware), launch)
        found = self._described(profiles, hardware, launch)
        return json.dumps(found, indent=2) if as_json else yaml.safe_dump(found, sort_keys=False)

    def engine(self) -> Engine:
        """Return the engine that `serve` starts. Raises ProfileNotFound, ArgumentsInvalid, ValueError or S3Refused."""
        profiles, hardware, launch = self._load()
        profile = choose(profiles, self.configuration, hardware)
        LOG.info(f"Selected profile: {profile.path}")
        model = served_model(profile, self.configuration)
        if model.startswith("s3://") and self.configuration.generation.by_schema:
            _refuse_s3(model)
        command = engine_command(profile, self.configuration, launch, self.root)
        variables = {name: str(value) for name, value in profile.document["env_vars"].items()}
        for name, value in variables.items():
            LOG.info(f"Set env var: {name}={value}")
        LOG.info(f"Command: {' '.join(command)}")
        return Engine(
            command=tuple(command),
            model=weights_path(model, self.configuration, self.root),
            names=tuple(served_names(profile, self.configuration)),
            port=self.configuration.port,
            variables=variables,
            profile_id=profile.id,
        )

    def list_profiles(self, shape: str, state: str, *, unchecked: bool) -> str:
        """Return the list of profiles in the asked shape: `text`, `table`, `json` or `yaml`."""
        hardware = detect(self.configuration, visible_gpus(self._environment))
        profiles = load_profiles(self.configuration, self.root)
        if unchecked and shape in ("text", "table"):
            return reports.unchecked(profiles, self.configuration, as_table=shape == "table")
        assessed = {UNKNOWN: profiles} if unchecked else assess(profiles, self.configuration, hardware)
        if state in states(self.configuration.generation) and not unchecked:
            assessed = {state: assessed[state]}
        if shape == "json":
            return json.dumps(reports.serialized(assessed), indent=2)
        if shape == "yaml":
            return yaml.safe_dump(reports.serialized(assessed), sort_keys=False)
        report = reports.table if shape == "table" else reports.text
        return report(assessed, self.configuration, hardware)

    def _set_levels(self) -> None:
        everything = self._environment.get("AIM_LOG_LEVEL_ROOT", "WARNING")
        set_levels(everything, self._environment.get("AIM_LOG_LEVEL", "INFO"), self.root)

    def _load(self) -> tuple[list[Profile], Hardware, Launch]:
        hardware = detect(self.configuration, visible_gpus(self._environment))
        profiles = load_profiles(self.configuration, self.root)
        return profiles, hardware, read_launch(self.configuration, self.root)

    def _described(self, profiles: list[Profile], hardware: Hardware, launch: Launch) -> list[dict[str, Any]]:
        """Return the chosen profile, or with a warning none: a dry run in JSON does not fail."""
        try:
            profile = choose(profiles, self.configuration, hardware)
            described = self._description(profile, launch)
        except Exception as error:
            LOG.warning(f"No compatible profile found or error occurred: {error}")
            return []
        LOG.info(f"Selected profile: {profile.path}")
        return [described]

    def _description(self, profile: Profile, launch: Launch) -> dict[str, Any]:
        models = [_model(profile.document, self.configuration, self._environment)]
        described = {"filename": profile.file_name, "profile": profile.document, "models": models}
        if self.configuration.generation.by_schema:
            return described
        text = self._script(profile, launch)
        return {
            "filename": profile.file_name,
            "path": profile.path,
            "profile": profile.document,
            "models": models,
            "script": text,
        }

    def _selected(self, profile: Profile, launch: Launch) -> str:
        """Return the dry run of 0.8 and 0.9 for people: the file and the script, each under a heading."""
        text = self._script(profile, launch)
        content = self.root.on_disk(profile.path).read_text(encoding="utf-8")
        path = f"Path: {profile.path}"
        heads = (_RULE, "SELECTED PROFILE", _RULE, path, "", content)
        return "\n".join([*heads, "", _RULE, "GENERATED SCRIPT", _RULE, "", text])

    def _script(self, profile: Profile, launch: Launch) -> str:
        command = engine_command(profile, self.configuration, launch, self.root)
        return script(command, profile.document["env_vars"])


class S3Refused(Exception):
    """Weights in an S3 bucket, which the sandbox does not download in a container."""


def _refuse_s3(model: str) -> NoReturn:
    problem = "the sandbox has no S3"
    LOG.error(f"Failed to download model from S3: {problem}")
    raise S3Refused(f"Auto-download failed for S3 model {model}: {problem}")


def _model(document: Mapping[str, Any], configuration: Configuration, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the model that a profile needs; its source is on the hub, whatever the source of the weights is."""
    schemes = ("s3://", "hf://") if configuration.generation.by_schema else ("hf://",)
    name = document.get("model_id")
    if not name:
        name = configuration.model_id or configuration.aim_id or ""
        name = next((name.removeprefix(scheme) for scheme in schemes if name.startswith(scheme)), name)
    source = name if name.startswith(schemes) else f"hf://{name}"
    return {"name": name, "source": source, "size_gb": hub_size(source, environment)}
