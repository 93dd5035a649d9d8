"""docs/conditions.md, rendered from the conditions, reasons and verdicts that `aimd.api` declares."""

# tests: tests/unit/cli/test_reference.py

import ast
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cache

from aimd.api.artifact import ArtifactCondition
from aimd.api.condition_reasons import COMMON, CONDITIONS, PODS, WRITING, Reasons
from aimd.api.reasons import Verdict
from aimd.api.service import ServiceCondition
from aimd.api.service_template import TemplateCondition
from aimd.api.shared import Status
from aimd.cli.markdown import table

_INTRODUCTION = """The status word `status.status` of an object summarizes its state, and `status.conditions` explain
it. Each condition has a `reason`, which is stable, so that scripts can rely on it, and a `message`, which says what to
change. aimd notices when you fix a problem; you don't have to restart anything.

```console
$ kubectl -n NAMESPACE describe aimservice NAME
```

The condition `Ready` repeats the reason of the condition that is responsible."""
_COMMON = """Except for `Ready` and `RuntimeConfigReady`, these conditions appear when a problem occurs. They become
`True` or are removed once it is solved."""
_PODS = "These are the reasons of {}."
_WRITING = """While an object that aimd creates cannot be written, the condition with its name, or else with the name of
its kind, such as `PersistentVolumeClaimReady`, has one of these reasons."""
_GATEWAY = """`HTTPRouteReady` passes on the reason of the gateway's controller, which may be one that is not listed
here."""
_REPEATED = """`ServiceTemplateReady` and `ArtifactsReady` also repeat the reason of the template's or the artifact's
own `Ready`."""
_CONFIGS = """[`RuntimeConfigReady`](#any-object) of the objects that use a config shows whether it exists. The config
itself has these conditions."""
_VERDICTS = """If a service does not name its template, `status.templateCandidates` shows the result for each
candidate."""

_POD_CONDITIONS = (
    ServiceCondition.INFERENCE_SERVICE_PODS_READY,
    ArtifactCondition.DOWNLOAD_JOB_PODS_READY,
    ArtifactCondition.CHECK_SIZE_JOB_PODS_READY,
    TemplateCondition.DISCOVERY_PODS_READY,
)


def conditions_page(generated: str) -> str:
    """Return docs/conditions.md; `generated` is the comment that marks generated pages."""
    blocks = [
        generated,
        "# Conditions and reasons",
        _INTRODUCTION,
        "## Status words",
        _lines(table(("Word", "Meaning"), ((f"`{word}`", text) for word, text in docstrings_of(Status).items()))),
        "## Any object",
        _COMMON,
        *_section(COMMON),
        "### Objects that cannot be written",
        _WRITING,
        _lines(table(("Reason", "Meaning", "What to do"), map(_row, WRITING))),
        "## Services",
        *_section(CONDITIONS["AIMService"]),
        _GATEWAY,
        "### Candidate templates",
        _VERDICTS,
        _lines(table(("Verdict", "Meaning", "What to do"), map(_row, Verdict))),
        "## Pods",
        _PODS.format(_listed(_POD_CONDITIONS)),
        _lines(table(("Reason", "Meaning", "What to do"), map(_row, PODS))),
        "## Weights",
        "### AIMArtifact",
        *_section(CONDITIONS["AIMArtifact"]),
        "### AIMTemplateCache",
        *_section(CONDITIONS["AIMTemplateCache"]),
        _REPEATED,
        "## Models",
        *_section(CONDITIONS["AIMModel"]),
        "## Templates",
        *_section(CONDITIONS["AIMServiceTemplate"]),
        "## Model sources",
        *_section(CONDITIONS["AIMClusterModelSource"]),
        "## Runtime configs",
        _CONFIGS,
        *_section(CONDITIONS["AIMRuntimeConfig"]),
    ]
    return "\n\n".join(blocks) + "\n"


@cache
def docstrings_of(words: type[StrEnum]) -> Mapping[str, str]:
    """Return the docstring below each member of an enumeration, in one line, by the member's value."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(words))).body
    assert isinstance(definition, ast.ClassDef)  # noqa: S101 (for the type checker)
    found = {}
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(statement, ast.Assign) and isinstance(following, ast.Expr):
            (target,) = statement.targets
            assert isinstance(target, ast.Name)  # noqa: S101
            text = ast.literal_eval(following.value)
            found[words[target.id].value] = " ".join(text.split())
    return found


def _section(conditions: Mapping[StrEnum, Reasons]) -> Iterator[str]:
    """Yield the table of condition types, and that of their reasons."""
    yield _lines(table(("Condition", "Meaning"), ((f"`{type_}`", _text(type_)) for type_ in conditions)))
    yield _lines(table(("Condition", "Reason", "Meaning", "What to do"), _rows(conditions)))


def _rows(conditions: Mapping[StrEnum, Reasons]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each reason; conditions that have the same reasons share them."""
    shared: dict[Reasons, list[StrEnum]] = {}
    for type_, reasons in conditions.items():
        shared.setdefault(reasons, []).append(type_)
    for reasons, types in shared.items():
        pods = types[0] in _POD_CONDITIONS
        rows = [_row(reason) for reason in reasons if not pods or reason not in PODS]
        rows += [("", "See [pods](#pods)", "")] if pods else []
        for index, row in enumerate(rows):
            yield ("" if index else _listed(types), *row)


def _listed(types: Iterable[StrEnum]) -> str:
    return ", ".join(f"`{type_}`" for type_ in types)


def _row(word: StrEnum) -> tuple[str, ...]:
    meaning, _, advice = _text(word).partition(". ")
    return f"`{word}`", meaning.removesuffix("."), advice.removesuffix(".")


def _text(word: StrEnum) -> str:
    return docstrings_of(type(word))[word.value]


def _lines(rows: Iterable[str]) -> str:
    return "\n".join(rows)
