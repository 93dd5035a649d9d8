"""Label keys, label values and what a child inherits from its parent."""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from fnmatch import translate
from functools import lru_cache

PREFIX = "aim.eai.amd.com/"
MANAGED_BY = "app.kubernetes.io/managed-by"
COMPONENT = "app.kubernetes.io/component"
MAXIMUM_LENGTH = 63

# Identity of one object: copying them to a child that sets its own would make two objects answer one selector.
_NEVER_INHERITED = frozenset({PREFIX + "service.name", PREFIX + "service"})


def label_value(text: str) -> str:
    """A valid label value close to `text`, empty when nothing usable is left (OBJ-LBL-3)."""
    cleaned = re.sub(r"[^a-z0-9._-]+", "_", text.lower()).strip("_.-")
    return cleaned[:MAXIMUM_LENGTH].rstrip("_.-")


def name_label(name: str) -> str:
    """An object's name as a label value: unchanged when it fits, else cut with a hash that keeps it unique
    (OBJ-LBL-3)."""
    if len(name) <= MAXIMUM_LENGTH:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{label_value(name)[: MAXIMUM_LENGTH - 9].rstrip('_.-')}-{digest}"


def child_labels(
    controller: str,
    parent_labels: Mapping[str, str],
    parent_name: str,
    own: Mapping[str, str],
    patterns: Sequence[str] = (),
    *,
    identity: Collection[str] = _NEVER_INHERITED,
) -> dict[str, str]:
    """All labels of a child, sorted by key (OBJ-LBL-1).

    `own` wins; then the parent's `aim.eai.amd.com/*` labels and those matching `patterns` (shell globs whose `*`
    does not cross `/`); then the controller's own two: `aim.eai.amd.com/<controller>.name` and `managed-by`.
    `identity` keys are never inherited by a service's children (OBJ-LBL-2).
    """
    controller_name = f"{PREFIX}{controller}.name"
    excluded = set(identity) if controller == "service" else set()
    inherited = {
        key: value
        for key, value in parent_labels.items()
        if key not in excluded and (key.startswith(PREFIX) or any(matches(key, glob) for glob in patterns))
    }
    framework = {controller_name: name_label(parent_name), MANAGED_BY: f"aim-{controller}-controller"}
    merged = {**framework, **inherited, **own}
    return {key: merged[key] for key in sorted(merged)}


def matches(key: str, glob: str) -> bool:
    """Whether a label key matches a shell glob; `*` and `?` stop at `/`, a malformed glob matches nothing
    (OBJ-LBL-4)."""
    pattern = _compile(glob)
    return pattern is not None and pattern.fullmatch(key) is not None


@lru_cache(maxsize=512)
def _compile(glob: str) -> re.Pattern[str] | None:
    if glob.count("[") != glob.count("]"):
        return None
    segments = [translate(segment) for segment in glob.split("/")]
    # translate() wraps each segment as (?s:…)\Z; its wildcards may not cross the separator.
    bodies = [segment.removeprefix("(?s:").removesuffix(r")\Z") for segment in segments]
    try:
        return re.compile("/".join(re.sub(r"(?<!\\)\.", "[^/]", body) for body in bodies))
    except re.error:
        return None
