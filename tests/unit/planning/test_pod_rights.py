"""What pods may use in the operator's namespace."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimd.api.core import EnvVar
from aimd.planning.pod_rights import PodRights

RIGHTS = PodRights("aim-system", "aim-discovery", frozenset({"runner"}), frozenset({"token"}))


def variable(**value_from: Any) -> EnvVar:
    return EnvVar.model_validate({"name": "X", "valueFrom": value_from})


@pytest.mark.parametrize("namespace", ["aim-system", "aim-discovery"])
@given(account=st.text())
def test_only_listed_accounts_are_allowed_in_the_operators_namespaces(namespace: str, account: str) -> None:
    """Prove OBJ-TEN-10."""
    refusal = RIGHTS.account_refusal(namespace, account, "spec.serviceAccountName of AIMService chat")
    assert (refusal is None) == (account in ("", "runner"))


def test_the_refusal_of_an_account_names_it_and_the_flag() -> None:
    refusal = RIGHTS.account_refusal("aim-system", "manager", "spec.serviceAccountName of AIMService chat")
    assert refusal is not None
    assert refusal.reason == "ReferenceNotAllowed"
    assert refusal.message == (
        "spec.serviceAccountName of AIMService chat names the ServiceAccount manager, which pods may not use in the "
        "operator's namespace aim-system: remove it, or have an administrator list it in --discovery-service-accounts"
    )


@pytest.mark.parametrize("rights", [RIGHTS, PodRights()])
def test_accounts_of_other_namespaces_are_their_owners_business(rights: PodRights) -> None:
    assert rights.account_refusal("ml-team", "manager", "spec.serviceAccountName") is None
    assert PodRights().account_refusal("", "manager", "spec.serviceAccountName") is None


@pytest.mark.parametrize(
    "source",
    [
        {"secretKeyRef": {"name": "db", "key": "k"}},
        {"configMapKeyRef": {"name": "db", "key": "k"}},
        {"secretKeyRef": {"key": "k", "optional": True}},
        {"secretKeyRef": "token"},
        {"vaultRef": {"name": "db"}},
        {"fieldRef": {"fieldPath": "metadata.name"}, "secretKeyRef": {"name": "db"}},
    ],
)
def test_variables_from_objects_that_are_not_listed_are_refused(source: dict[str, Any]) -> None:
    """Prove TPL-DSC-16."""
    refusal = RIGHTS.references_refusal([variable(**source)], "spec.env", "aim-system")
    assert refusal is not None
    assert "takes the variable X from the" in refusal.message
    assert "--discovery-secrets" in refusal.message


@pytest.mark.parametrize(
    "source",
    [
        {"secretKeyRef": {"name": "token", "key": "k"}},
        {"configMapKeyRef": {"name": "token", "key": "k"}},
        {"fieldRef": {"fieldPath": "metadata.name"}},
        {"secretKeyRef": None},
        {},
    ],
)
def test_what_is_listed_or_of_the_pod_itself_is_allowed(source: dict[str, Any]) -> None:
    plain = EnvVar(name="PLAIN", value="1")
    assert RIGHTS.references_refusal([plain, variable(**source)], "spec.env", "aim-system") is None
