"""Archives behind URLs: files as URLs, and an object store that is emulated."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from diar_ops import DiarError, OutputError
from diar_ops.batch.storage import Storage
from tests.batch.archives import results, run

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of an empty bucket of an object store that runs in this process."""
    s3fs = pytest.importorskip("s3fs")
    server_of = pytest.importorskip("moto.server").ThreadedMotoServer
    server = server_of(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("bucket")
    yield "s3://bucket"
    s3fs.S3FileSystem.clear_instance_cache()
    urllib.request.urlopen(f"http://{host}:{port}/moto-api/reset", data=b"")
    server.stop()


def upload(folder: Path, url: str) -> None:
    Storage(url).put(folder, "photos")


def download(url: str, folder: Path) -> Path:
    storage = Storage(url)
    with storage.fetched(storage.list_files()) as copies:
        return copies.rename(folder)


def test_file_urls_are_folders(archive: Path, cleaned: Path, tmp_path: Path) -> None:
    run(f"file://{archive}", f"file://{tmp_path}/out")
    assert results(tmp_path / "out") == results(cleaned)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_an_object_store(archive: Path, cleaned: Path, bucket: str, tmp_path: Path) -> None:
    upload(archive, bucket)
    out = f"{bucket}/out"
    result = run(f"{bucket}/photos", out)
    assert result.done == 3
    # Files are named as in the archive, not as the copies for the time of the work.
    assert result.records[-1].reasons[0].startswith("skipped: b/ü & <c>/broken.jpg holds no picture")
    there = download(out, tmp_path / "there")
    assert results(there) == results(cleaned)
    for name in ("index.html", "manifest.csv", "manifest.sqlite", "records/a.json", "thumbnails/a.jpg"):
        assert (there / name).is_file()
    assert run(f"{bucket}/photos", out).done == 0
    # A kill between the results and their record; a photo that changed.
    Storage(out).remove("records/a.json")
    Storage(f"{bucket}/photos").put(archive / "a" / "10.png", "b/31.png")
    assert run(f"{bucket}/photos", out).done == 2
    assert results(download(out, tmp_path / "again")) == results(cleaned)
    assert json.loads(Storage(out).read_text("records/a.json") or "")["verdict"] == "good"


def test_what_cannot_be_reached_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DiarError, match="is not a folder"):
        Storage(str(tmp_path / "nowhere")).list_files()
    with pytest.raises(DiarError, match="no URL that fsspec knows"):
        Storage("nothing://bucket").list_files()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        Storage(f"file://{tmp_path}/file").write_text("a.txt", "")
