"""Certificates of one sandbox."""

from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from aimd.sandbox.certificates import Authority, signing_key

AUTHORITY = Authority("test")


def parsed(certificate: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(certificate)


def test_a_serving_certificate_is_for_loopback_and_the_names() -> None:
    certificate = parsed(AUTHORITY.server("kubelet", names=["kubelet.local"]).certificate)
    certificate.verify_directly_issued_by(parsed(AUTHORITY.certificate))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kubelet.local"]
    assert names.get_values_for_type(x509.IPAddress) == [IPv4Address("127.0.0.1")]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_a_client_certificate_names_user_and_groups() -> None:
    certificate = parsed(AUTHORITY.client("jane", groups=["a", "b"]).certificate)
    subject = certificate.subject
    assert [item.value for item in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["jane"]
    assert [item.value for item in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["a", "b"]


def test_only_the_owner_can_read_a_key(tmp_path: Path) -> None:
    files = AUTHORITY.server("etcd").write(tmp_path / "tls", "server")
    assert (files.certificate.name, files.key.name) == ("server.crt", "server.key")
    assert files.key.stat().st_mode & 0o777 == 0o600
    key = load_pem_private_key(files.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == parsed(files.certificate.read_bytes()).public_key()


def test_the_signing_key_is_in_sec_1() -> None:
    assert signing_key().startswith(b"-----BEGIN EC PRIVATE KEY-----")
