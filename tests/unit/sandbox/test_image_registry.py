"""Images have the shape that builders give them. tests/integration/test_registry.py pushes them to a real registry."""

import gzip
import hashlib
import io
import json
import tarfile

import httpx

from aimd.sandbox.image_registry import DOCKER, OCI, Image, Layer, push_image

AMD64 = ("linux", "amd64")
PROFILE = "workspace/aim-runtime/profiles/o/m/vllm-mi300x-fp16-tp1-latency.yaml"
LAYERS = (
    Layer("ENV AIM_ID=o/m", empty=True),
    Layer("RUN true"),
    Layer("COPY profiles /workspace/aim-runtime/profiles # buildkit", {PROFILE: b"aim_id: o/m\n"}),
)


def test_layers_are_reproducible_archives() -> None:
    layer = LAYERS[-1]
    assert layer.content == layer.content
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer.content))) as archive:
        assert archive.getnames() == [PROFILE]
        content = archive.extractfile(PROFILE)
        assert content is not None
        assert content.read() == b"aim_id: o/m\n"
    assert Layer(blob=b"as it is").content == b"as it is"


def test_configuration() -> None:
    config = json.loads(Image({"a": "b"}, env=["A=1", "B=x=y"], layers=LAYERS).config(AMD64))
    assert config["config"] == {"Env": ["A=1", "B=x=y"], "Labels": {"a": "b", "platform": "linux/amd64"}}
    assert config["history"] == [
        {"created_by": "ENV AIM_ID=o/m", "empty_layer": True},
        {"created_by": "RUN true"},
        {"created_by": "COPY profiles /workspace/aim-runtime/profiles # buildkit"},
    ]
    archives = [gzip.decompress(layer.content) for layer in LAYERS if not layer.empty]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in archives]
    assert "history" not in json.loads(Image(history=False).config(AMD64))


async def test_push_image() -> None:
    stored: dict[str, bytes] = {}

    def registry(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(202, headers={"location": f"{request.url}1?_state=x"})
        key = request.url.params.get("digest") or request.url.path
        stored[key] = request.content
        return httpx.Response(201)

    transport = httpx.MockTransport(registry)
    async with httpx.AsyncClient(base_url="http://registry", transport=transport) as client:
        for types in (OCI, DOCKER):
            image = Image(media_types=types, layers=(*LAYERS, Layer("COPY x /", blob=b"x", media_type="odd")))
            digest = await push_image(client, "o/x", "1", image)
            manifest = json.loads(stored["/v2/o/x/manifests/1"])
            assert digest == f"sha256:{hashlib.sha256(stored['/v2/o/x/manifests/1']).hexdigest()}"
            assert manifest["mediaType"] == types["manifest"]
            assert [layer["mediaType"] for layer in manifest["layers"]] == [types["layer"], types["layer"], "odd"]
            assert [stored[layer["digest"]] for layer in manifest["layers"]] == [
                *(layer.content for layer in LAYERS if not layer.empty),
                b"x",
            ]
            assert stored[manifest["config"]["digest"]] == image.config(AMD64)
