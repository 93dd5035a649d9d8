"""From the filters of a model source to the images it imports.

`parse_filter` says how a filter is to be listed, `matching` which of the listed images it wants, `plan_imports` which
of them become models. Whoever lists them is not known here.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from aimd.planning.model_source.versions import Constraints, parse_constraints, parse_version
from aimd.planning.naming import derive_name
from aimd.registry.failures import RegistryFailure
from aimd.registry.reference import (
    DOCKER_HUB,
    DOCKER_HUB_ALIASES,
    is_tag,
    normal_registry,
    parse_reference,
    split_registry,
)


class Strategy(Enum):
    """How the images of a filter are found (SRC-FLT-1)."""

    STATIC = "static"
    """The filter names one image, which is taken without asking."""
    TAGS = "tags"
    """The tags of one repository."""
    CATALOG = "catalog"
    """The repositories of a namespace or registry, then their tags."""


@dataclass(frozen=True, slots=True, order=True)
class CatalogImage:
    """An image that a source may import."""

    registry: str
    repository: str
    tag: str

    @property
    def uri(self) -> str:
        """The image reference for `spec.image` of the model; images of Docker Hub without their registry."""
        name = f"{self.repository}:{self.tag}"
        return name if self.registry == DOCKER_HUB else f"{self.registry}/{name}"

    @property
    def model_name(self) -> str:
        """Name of the AIMClusterModel (SRC-IMP-4)."""
        return derive_name([self.repository, self.tag], [self.registry, self.repository, self.tag], hash_length=6)


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """A parsed filter; `pattern` is a repository, in which `*` matches any text, slashes included."""

    text: str
    registry: str
    pattern: str
    tag: str = ""
    exclude: frozenset[str] = frozenset()
    constraints: Constraints = field(default_factory=lambda: parse_constraints(()))

    @property
    def strategy(self) -> Strategy:
        """How its images are found."""
        if "*" in self.pattern:
            return Strategy.CATALOG
        return Strategy.STATIC if self.tag else Strategy.TAGS

    def wants_repository(self, repository: str) -> bool:
        """Return whether images of this repository are wanted; case counts."""
        return repository not in self.exclude and matches_pattern(self.pattern, repository)

    def wants_tag(self, tag: str) -> bool:
        """Return whether this tag is wanted: the filter's own, else what the version constraints allow (SRC-FLT-4)."""
        return tag == self.tag if self.tag else self.constraints.allow(tag)


@dataclass(frozen=True, slots=True)
class FilterInvalid:
    """A filter that cannot be used; the message says what to change."""

    text: str
    message: str


def parse_filter(
    text: str,
    *,
    exclude: Iterable[str] = (),
    versions: Sequence[str] = (),
    source_versions: Sequence[str] = (),
    source_registry: str = DOCKER_HUB,
) -> ImageFilter | FilterInvalid:
    """Return a filter of a source, or why it is invalid; its own versions replace the source's (SRC-FLT-5)."""
    constraints = parse_constraints(versions or source_versions)
    found = _wildcard(text, source_registry) if "*" in text else _exact(text, source_registry)
    if isinstance(found, FilterInvalid):
        return found
    registry, pattern, tag = found
    if not tag and not constraints.usable:
        return FilterInvalid(text, f"Filter {text!r} has no valid version constraint: {_invalid_text(constraints)}")
    return ImageFilter(text, registry, pattern, tag, frozenset(exclude), constraints)


def matches_pattern(pattern: str, text: str) -> bool:
    """Return whether a pattern matches a text; `*` stands for any characters, or none (SRC-FLT-2).

    Linear in the length of the text.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    position, end = len(first), len(text) - len(rest[-1])
    if not text.startswith(first) or not text.endswith(rest[-1]) or position > end:
        return False
    for part in rest[:-1]:
        found = text.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True


def constraint_warning(filtered: ImageFilter) -> str:
    """Return the warning about invalid constraints beside valid ones, empty without any."""
    invalid = filtered.constraints.invalid
    return f"Filter {filtered.text!r} ignores {_invalid_text(filtered.constraints)}" if invalid else ""


def matching(filtered: ImageFilter, listed: Mapping[str, Iterable[str]]) -> tuple[CatalogImage, ...]:
    """Return the wanted images among the listed ones (tags by repository), or that of a static filter.

    They come in the order to import them: the newest of each repository, then the second newest, and so on.
    """
    if filtered.strategy is Strategy.STATIC:
        wanted = filtered.wants_repository(filtered.pattern)
        return (CatalogImage(filtered.registry, filtered.pattern, filtered.tag),) if wanted else ()
    ranked = [
        (rank, CatalogImage(filtered.registry, repository, tag))
        for repository, tags in listed.items()
        if filtered.wants_repository(repository)
        for rank, tag in enumerate(newest_first(tag for tag in tags if filtered.wants_tag(tag)))
    ]
    return tuple(image for _, image in sorted(ranked))


def newest_first(tags: Iterable[str]) -> list[str]:
    """Semantic versions downwards, then all other tags by name; each once."""
    names = set(tags)
    versions = [(version, tag) for tag in names if (version := parse_version(tag)) is not None]
    ordered = [tag for _, tag in sorted(versions, key=lambda pair: (pair[0].precedence_key, pair[1]), reverse=True)]
    return ordered + sorted(names.difference(ordered))


@dataclass(frozen=True, slots=True)
class Imports:
    """What a source imports, and its counters.

    `available` images match the filters, each counted once. `discovered` images have a model, or will. `over_limit`
    ones are excluded only by the limit.
    """

    new: tuple[CatalogImage, ...] = ()
    available: int = 0
    discovered: int = 0
    over_limit: int = 0

    @property
    def limit_reached(self) -> bool:
        """Whether the limit keeps any out."""
        return self.over_limit > 0


def plan_imports(
    found: Iterable[Sequence[CatalogImage]], own: Collection[str], others: Collection[str], most: int
) -> Imports:
    """Return which images become models: filter by filter, in order, up to `most` models (SRC-IMP-2, SRC-IMP-3).

    `own` are the images of models that the source created, `others` those of all other models; they are not imported.
    """
    unique: dict[str, CatalogImage] = {}
    for images in found:
        for image in images:
            unique.setdefault(image.uri, image)
    missing = [image for uri, image in unique.items() if uri not in own and uri not in others]
    foreign = sum(uri in others and uri not in own for uri in unique)
    existing = len(own) + foreign
    new = missing[: max(most - existing, 0)]
    return Imports(tuple(new), len(unique), existing + len(new), len(missing) - len(new))


def _exact(text: str, source_registry: str) -> tuple[str, str, str] | FilterInvalid:
    """Registry, repository and tag of a filter without wildcard."""
    reference = parse_reference(text)
    if isinstance(reference, RegistryFailure):
        return FilterInvalid(text, f"Filter {reference.message}, or use * for any text")
    if reference.digest:
        return _no_digest(text)
    tag = reference.tag if _has_tag(text) else ""
    if reference.registry != DOCKER_HUB or _names_registry(text):
        return reference.registry, reference.repository, tag
    registry = _source_registry(source_registry)
    return registry, reference.repository if registry == DOCKER_HUB else split_registry(text)[1].partition(":")[0], tag


def _wildcard(text: str, source_registry: str) -> tuple[str, str, str] | FilterInvalid:
    """Registry, pattern and tag of a filter with a wildcard."""
    if "@" in text:
        return _no_digest(text)
    named, rest = split_registry(text) if _names_registry(text) else ("", text)
    pattern, colon, tag = rest.partition(":")
    if colon and not is_tag(tag):
        return FilterInvalid(text, f"Filter {text!r} has no plain tag behind its colon: leave it out and use versions")
    if "*" in named or not pattern:
        return FilterInvalid(text, f"Filter {text!r} names no registry: * may only stand for parts of a repository")
    registry = normal_registry(named) if named else _source_registry(source_registry)
    probe = parse_reference(f"{registry}/x")
    if isinstance(probe, RegistryFailure):
        return FilterInvalid(text, f"Filter {text!r} cannot be listed: {registry!r} is no registry; correct it")
    return registry, pattern, tag


def _source_registry(text: str) -> str:
    """Return the source's registry as a host, also if given with a scheme or as Docker Hub's site (SRC-FLT-2)."""
    host = text.partition("://")[2] if "://" in text else text
    host = host.strip("/").lower() or DOCKER_HUB
    return DOCKER_HUB if "hub.docker.com" in host or host in DOCKER_HUB_ALIASES else host


def _names_registry(text: str) -> bool:
    first, slash, _ = text.partition("/")
    return bool(slash) and ("." in first or ":" in first or first.lower() == "localhost")


def _has_tag(text: str) -> bool:
    return ":" in text.rpartition("/")[2]


def _no_digest(text: str) -> FilterInvalid:
    return FilterInvalid(text, f"Filter {text!r} names a digest: filters choose by repository and tag")


def _invalid_text(constraints: Constraints) -> str:
    listed = ", ".join(repr(text) for text in constraints.invalid)
    return f"{listed}: write for example >=1.0.0, ~1.2.0, ^1.0.0 or 1.0.0 - 2.0.0"
