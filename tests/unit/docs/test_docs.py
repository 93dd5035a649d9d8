"""What the site's own checks cannot see: links of pages outside docs/, and that every metric is told."""

import re
from pathlib import Path

import pytest

from aimd.controllers.service_template.discovery_slots import BY_ACTIVITY, DiscoverySlots, activity_of
from aimd.metrics.counts import FleetCounts
from aimd.metrics.history import FleetHistory
from aimd.metrics.registries import RegistryMetrics
from aimd.metrics.state import BuildInfo, FleetState
from aimd.planning import labels
from aimd.planning.kinds import AIM_ARTIFACT, AIM_CLUSTER_SERVICE_TEMPLATE, AIM_SERVICE, AIM_SERVICE_TEMPLATE
from aimd.runtime.kinds import JOB
from aimd.runtime.metrics import ClientMetrics, ManagerMetrics
from aimd.runtime.store import Cache, Store
from tests import guides

ROOT = Path(__file__).parents[3]
OUTSIDE = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *ROOT.glob("examples/*/*.md"),
]
CHECKLISTS = ROOT / "docs" / "contributing"
NAMING_FILES = [ROOT / "CONTRIBUTING.md", *CHECKLISTS.glob("*.md"), *(ROOT / "docs" / "adr").glob("*.md")]
FILE = re.compile(r"`((?:aimd|bench|charts|crds|docs|examples|tests|tools)/[\w./<>-]*)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def anchors_of(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", OUTSIDE, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text()):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors_of(file)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", NAMING_FILES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    """`<kind>` and the like in a path stand for any name."""
    named = {re.sub(r"<\w+>", "*", path) for path in FILE.findall(page.read_text())}
    assert {path for path in named if not any(ROOT.glob(path))} == set()


def test_every_checklist_that_a_message_names_exists() -> None:
    named = {text.removeprefix("see ") for text in vars(guides).values() if str(text).startswith("see ")}
    assert {str(path.relative_to(ROOT)) for path in CHECKLISTS.glob("add-*.md")} == named


def test_every_metric_is_told() -> None:
    """If this fails: tell in docs/metrics.md what the metric means."""
    cache = Cache()
    kinds = (AIM_SERVICE, AIM_ARTIFACT, AIM_SERVICE_TEMPLATE, AIM_CLUSTER_SERVICE_TEMPLATE)
    for store in (*map(Store, kinds), Store(JOB, {BY_ACTIVITY: activity_of})):
        cache.add(store)
    registry = ManagerMetrics("aimd", ClientMetrics("aimd").collectors).registry
    registry.register(BuildInfo("abc"))
    registry.register(FleetState(cache, DiscoverySlots(cache, 10), 100))
    registry.register(FleetHistory(cache))
    registry.register(FleetCounts(cache, 1))
    for collector in RegistryMetrics().collectors:
        registry.register(collector)
    names = {f"{family.name}_total" if family.type == "counter" else family.name for family in registry.collect()}
    told = set(re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "metrics.md").read_text(), re.MULTILINE))
    undocumented = {name for name in names - told if not name.startswith(("process_", "python_"))}
    assert undocumented == set(), "add rows to the tables in docs/metrics.md that say what these metrics mean"
    assert told - names == set(), "remove these rows from docs/metrics.md: the operator has no such metric"


def test_the_page_about_the_runtime_lists_every_module() -> None:
    runtime = ROOT / "aimd" / "runtime"
    modules = {str(path.relative_to(runtime)) for path in runtime.rglob("*.py") if path.name != "__init__.py"}
    page = (ROOT / "docs" / "runtime.md").read_text()
    named = set(re.findall(r"`([a-z/_]+\.py)`", page))
    assert modules - named == set(), "add these modules to the table in docs/runtime.md"
    assert named - modules == set(), "docs/runtime.md names modules that aimd/runtime doesn't have"


def test_every_finalizer_has_a_documented_way_out() -> None:
    """Hold guarantee T10 of the threat model."""
    text = (ROOT / "docs" / "upgrade.md").read_text()
    finalizers = {value for name, value in vars(labels).items() if name.endswith("_FINALIZER")}
    assert finalizers
    assert all(f"`{finalizer}`" in text for finalizer in finalizers)
