"""The Go modules that `tools/*/go.mod` pin: the sandbox runs their commands and installs their CRDs."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from aimd.sandbox.go import Version, parse_version

_PACKAGED = Path(__file__).parent / "_tools"
_CHECKOUT = Path(__file__).parents[2] / "tools"
_GO_LINE = re.compile(r"^go (\d+(?:\.\d+)+)$", re.MULTILINE)
_VERSION_PACKAGE = "k8s.io/component-base/version"


def tools_folder() -> Path:
    """Return the folder of the pins: the packaged one, or that of the checkout."""
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


@dataclass(frozen=True)
class Edit:
    """A replacement in the main package of a module, for what no flag can set."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Module:
    """A folder in `tools/` that pins the Go module `name`.

    `title` is the name in messages. `binaries` maps file names to Go packages of the module. A `stamped` module is
    linked with its version, as Kubernetes requires.
    """

    folder: str
    name: str
    title: str
    binaries: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    stamped: bool = False
    edit: Edit | None = None

    @property
    def path(self) -> Path:
        """Return the folder."""
        return tools_folder() / self.folder

    @property
    def go_mod(self) -> str:
        """Return the content of go.mod."""
        return (self.path / "go.mod").read_text(encoding="utf-8")

    @property
    def version(self) -> str:
        """Return the pinned version, such as `v1.34.4`."""
        match = re.search(rf"^(?:require|)\s*{re.escape(self.name)} (v\S+)", self.go_mod, re.MULTILINE)
        if match is None:
            raise ValueError(f"{self.path / 'go.mod'} does not require {self.name}")
        return match[1]

    @property
    def go_version(self) -> Version:
        """Return the version of Go that the module requires."""
        match = _GO_LINE.search(self.go_mod)
        return parse_version(match[1]) if match else ()

    @property
    def cache_name(self) -> str:
        """Return the name of the cache folder, which depends on every pin and on the edit."""
        digest = hashlib.sha256(repr((self.edit, sorted(self.binaries.items()))).encode())
        for name in ("go.mod", "go.sum"):
            digest.update((self.path / name).read_bytes())
        return f"{self.folder}-{self.version}-{digest.hexdigest()[:12]}"

    @property
    def linker_flags(self) -> str:
        """Return the flags that strip symbols and, for a stamped module, set the version."""
        flags = ["-s", "-w"]
        if self.stamped:
            major, minor, _ = self.version.removeprefix("v").split(".", 2)
            stamp = {
                "gitVersion": self.version,
                "gitMajor": major,
                "gitMinor": minor,
                "gitCommit": "unknown",
                "gitTreeState": "clean",
                "buildDate": datetime.fromtimestamp(0, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
            flags += [f"-X {_VERSION_PACKAGE}.{key}={value}" for key, value in stamp.items()]
        return " ".join(flags)


KUBERNETES = Module(
    folder="kubernetes",
    name="k8s.io/kubernetes",
    title="Kubernetes",
    binaries={
        name: f"k8s.io/kubernetes/cmd/{name}"
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
    },
    stamped=True,
)
KUBECTL = Module(
    folder="kubectl",
    name="k8s.io/kubernetes",
    title="kubectl",
    binaries={"kubectl": "k8s.io/kubernetes/cmd/kubectl"},
    stamped=True,
)
ETCD = Module(
    folder="etcd", name="go.etcd.io/etcd/server/v3", title="etcd", binaries={"etcd": "go.etcd.io/etcd/server/v3"}
)
KSERVE = Module(
    folder="kserve",
    name="github.com/kserve/kserve",
    title="KServe",
    binaries={"kserve-manager": "github.com/kserve/kserve/cmd/manager"},
    # Its webhook server listens on every interface of the machine, and no flag changes that.
    edit=Edit(
        file="cmd/manager/main.go",
        old="Port: options.webhookPort,",
        new='Host: "127.0.0.1", Port: options.webhookPort,',
    ),
)
HELM = Module(folder="helm", name="helm.sh/helm/v3", title="helm", binaries={"helm": "helm.sh/helm/v3/cmd/helm"})
REGISTRY = Module(
    folder="registry",
    name="github.com/distribution/distribution/v3",
    title="the image registry",
    binaries={"registry": "github.com/distribution/distribution/v3/cmd/registry"},
)
GATEWAY_API = Module(folder="gateway-api", name="sigs.k8s.io/gateway-api", title="Gateway API")
KEDA = Module(folder="kserve", name="github.com/kedacore/keda/v2", title="KEDA")

MODULES = (KUBERNETES, KUBECTL, ETCD, KSERVE, HELM, REGISTRY)
