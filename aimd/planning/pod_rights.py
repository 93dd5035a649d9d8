"""What pods may use in the operator's own namespace: nothing that an administrator has not listed.

The ServiceAccounts, Secrets and ConfigMaps of that namespace are the operator's, or there for it. Objects that others
write must not put them into pods (OBJ-TEN-10, TPL-DSC-16).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from aimd.api.core import EnvVar
from aimd.api.reasons import Reason
from aimd.runtime.objects import Category, Failure

ACCOUNTS_FLAG = "--discovery-service-accounts"
REFERENCES_FLAG = "--discovery-secrets"

_OF_THE_POD = frozenset({"fieldRef", "resourceFieldRef", "fileKeyRef"})
"""Sources of a variable inside the pod; those of `fileKeyRef` are files of its own volumes."""
_KINDS = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap"}


@dataclass(frozen=True, slots=True)
class PodRights:
    """What an administrator lets pods use.

    `namespace` is the operator's, empty where no operator runs. Jobs of cluster templates run in
    `discovery_namespace`. `service_accounts` and `references` (Secrets and ConfigMaps) are what pods in these
    namespaces may use by name.
    """

    namespace: str = ""
    discovery_namespace: str = ""
    service_accounts: frozenset[str] = field(default_factory=frozenset)
    references: frozenset[str] = field(default_factory=frozenset)

    def account_refusal(self, namespace: str, account: str, named_by: str) -> Failure | None:
        """Return why a pod in a namespace may not run as an account, None if it may (OBJ-TEN-10)."""
        reserved = namespace and namespace in (self.namespace, self.discovery_namespace)
        if not reserved or not account or account in self.service_accounts:
            return None
        return _refusal(
            f"{named_by} names the ServiceAccount {account}, which pods may not use in the operator's namespace "
            f"{namespace}: remove it, or have an administrator list it in {ACCOUNTS_FLAG}"
        )

    def references_refusal(self, env: Iterable[EnvVar], named_by: str, namespace: str) -> Failure | None:
        """Return why a pod may not have variables from Secrets and ConfigMaps, None if it may (TPL-DSC-16)."""
        for variable, kind, name in _references(env):
            if name not in self.references:
                return _refusal(
                    f"{named_by} takes the variable {variable} from the {kind} {name} in namespace {namespace}, which"
                    f" is not allowed: remove it, or have an administrator list {name} in {REFERENCES_FLAG}"
                )
        return None


def _references(env: Iterable[EnvVar]) -> Iterator[tuple[str, str, str]]:
    """Yield variable, kind and name of every object that variables are taken from, of kinds yet unknown, too."""
    for variable in env:
        for source, reference in (variable.value_from or {}).items():
            if source not in _OF_THE_POD and reference is not None:
                name = reference.get("name") if isinstance(reference, dict) else None
                yield variable.name, _KINDS.get(source, source), str(name or "")


def _refusal(message: str) -> Failure:
    return Failure(Category.INVALID_SPEC, Reason.REFERENCE_NOT_ALLOWED, message)
