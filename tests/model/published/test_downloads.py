from __future__ import annotations

import hashlib
import json
import os
import random
import threading
import time
from pathlib import Path

import huggingface_hub.constants
import local_hub
import pytest
from local_hub import LocalHub, says
from waiting import PATIENCE

from phylotools.errors import InputError, OutputError, PhylotoolsError
from phylotools.model.published import downloads, hub
from phylotools.model.published.catalogue import KnownModel
from phylotools.model.published.download_folder import LARGEST, DownloadFolder
from phylotools.model.published.downloads import download, resolve
from phylotools.model.published.hub import Hub, Patience

REPOSITORY, COMMIT, OTHER = "authors/Model", "a" * 40, "b" * 40
WEIGHTS = random.Random(1).randbytes(300_000)
CONFIG = b'{"model_type": "phylogpn"}\n'
FILES = {
    "config.json": CONFIG, "model.safetensors": WEIGHTS,
    "modeling.py": b"open('EXECUTED', 'w')", "pytorch_model.bin": b"\x80\x02." * 9_000,
}  # fmt: skip
KNOWN = KnownModel("model", REPOSITORY, COMMIT, "hg38", "none", "small")
SHA256 = {name: hashlib.sha256(FILES[name]).hexdigest() for name in LARGEST}
#: Nobody wants to wait between tries in a test.
HASTE = Patience(tries=3, first_wait=0.0)
#: For servers that never come to an end: what each of them lacks is soon missed, and nothing else.
IMPATIENT = {
    "silent": Patience(tries=2, first_wait=0.0, silence=0.3),
    "slow head": Patience(tries=2, first_wait=0.0, answer=0.5),
    "trickle": Patience(tries=2, first_wait=0.0, slowest=2_000_000.0, window=0.1),
}


@pytest.fixture
def server():
    with local_hub.running_hub() as running:
        running.add(REPOSITORY, COMMIT, dict(FILES))
        running.names["main"] = COMMIT
        yield running


@pytest.fixture
def client(server, monkeypatch, tmp_path) -> Hub:
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "library_cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no_token"))
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("HF_", "SSL_CERT_")):
            monkeypatch.delenv(name)
    return Hub(server.url, HASTE)


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


def fetched(client: Hub, cache: Path, revision: str = COMMIT, known: KnownModel = KNOWN):
    return download(client, known, resolve(client, known, revision), cache)


def partial_of(cache: Path) -> Path:
    return cache / "hub" / "authors--Model" / COMMIT / "model.safetensors.partial"


def assert_whole(found) -> None:
    assert {path.name for path in found.folder.iterdir()} == {*LARGEST, ".lock"}
    for name in LARGEST:
        assert (found.folder / name).read_bytes() == FILES[name]
        assert found.record.files[name].sha256 == SHA256[name]


def assert_nothing_looks_finished(cache: Path) -> None:
    """What may stay: a whole configuration, the beginning of the weights under another name."""
    assert not list(cache.rglob("model.safetensors"))
    assert not [path for path in cache.rglob("*.json") if path.name != "config.json"]


def fails(client: Hub, cache: Path, expected: str, kind=PhylotoolsError, **others) -> str:
    with pytest.raises(kind) as caught:
        fetched(client, cache, **others)
    text = str(caught.value)
    assert expected in text
    assert "\n" not in text
    assert "signature" not in text
    assert_nothing_looks_finished(cache)
    return text


def test_the_files_come_whole_and_nothing_else_is_asked_for(server, client, cache):
    found = fetched(client, cache)
    assert_whole(found)
    assert found.record.commit == COMMIT
    assert {path.partition("?")[0].rpartition("/")[2] for _, path, _ in server.requests} == {
        "config.json", "model.safetensors", SHA256["model.safetensors"],
    }  # fmt: skip


def test_a_branch_is_resolved_once_and_kept_by_its_commit(server, client, cache):
    assert_whole(fetched(client, cache, "main"))
    assert not server.asked("HEAD", "main/model.safetensors")
    assert server.asked("HEAD", f"{COMMIT}/model.safetensors")


def test_what_is_there_is_not_downloaded_again(server, client, cache):
    fetched(client, cache)
    server.requests.clear()
    assert_whole(fetched(client, cache))
    assert not [verb for verb, *_ in server.requests if verb == "GET"]


def test_first_fetch_says_the_checksum_and_keeps_it(client, cache, caplog):
    with caplog.at_level("INFO", "phylotools"):
        fetched(client, cache)
        assert SHA256["model.safetensors"] in caplog.text
        caplog.clear()
        fetched(client, cache)
    assert SHA256["model.safetensors"] not in caplog.text
    record = json.loads((cache / "hub" / "authors--Model" / f"{COMMIT}.json").read_text())
    assert record == {
        "repository": REPOSITORY,
        "commit": COMMIT,
        "files": {
            name: {"size": len(FILES[name]), "sha256": SHA256[name]} for name in LARGEST
        },
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(LARGEST))
def test_other_bytes_under_the_same_commit_are_refused(server, client, cache, name):
    folder = fetched(client, cache).folder
    server.add(REPOSITORY, COMMIT, FILES | {name: FILES[name][:-1] + b"?"})
    (folder / name).unlink()
    with pytest.raises(
        InputError, match=f"{name}.* is not that of the first fetch, {SHA256[name]}"
    ):
        fetched(client, cache)
    assert not (folder / name).exists()
    assert not list(cache.rglob("*.partial"))


def test_published_checksums_are_held_to(server, client, cache, caplog):
    wrong = KnownModel("model", REPOSITORY, COMMIT, "hg38", "none", "small", {COMMIT[:7]: "0" * 64})
    fails(client, cache, f"is not the published one, {'0' * 64}", known=wrong)
    assert not server.asked("GET", SHA256["model.safetensors"])
    right = KnownModel(
        "model",
        REPOSITORY,
        COMMIT,
        "hg38",
        "none",
        "small",
        {COMMIT[:7]: SHA256["model.safetensors"]},
    )
    with caplog.at_level("INFO", "phylotools"):
        assert_whole(fetched(client, cache, known=right))
    assert "the published SHA-256" in caplog.text


@pytest.mark.parametrize("cuts", [[100_000], [1, 70_000, 70_000], [299_999]], ids=str)
def test_a_cut_download_goes_on_where_it_was(server, client, cache, cuts):
    server.bodies += [local_hub.cut(n) for n in cuts]
    assert_whole(fetched(client, cache))
    got = server.asked("GET", SHA256["model.safetensors"])
    begins = [sum(cuts[:n]) for n in range(len(cuts) + 1)]
    assert [headers.get("Range") for headers in got] == [
        f"bytes={begin}-" if begin else None for begin in begins
    ]


def test_a_download_that_was_given_up_goes_on_next_time(server, client, cache):
    server.bodies += [local_hub.cut(200_000), *[local_hub.cut(0)] * 3]
    text = fails(client, cache, "model.safetensors cannot be had")
    assert "at 200,000 of 300,000 bytes: " in text
    assert "3 times in a row" in text
    assert str(partial_of(cache)) in text
    assert partial_of(cache).read_bytes() == WEIGHTS[:200_000]
    server.requests.clear()
    assert_whole(fetched(client, cache))
    assert server.asked("GET", SHA256["model.safetensors"])[0]["Range"] == "bytes=200000-"


def test_a_server_without_middles_begins_anew(server, client, cache):
    told: list[int] = []

    class Bar:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, n):
            told.append(n)

    server.bodies += [local_hub.cut(100_000), local_hub.from_the_start()]
    found = download(
        client, KNOWN, COMMIT, cache, lambda name, total, done: Bar() if "safe" in name
        else downloads.untold(name, total, done),
    )  # fmt: skip
    assert_whole(found)
    assert sum(told) == len(WEIGHTS)


def test_a_server_that_always_cuts_and_has_no_middles_is_given_up(server, client, cache):
    server.bodies += [local_hub.from_the_start(local_hub.cut(100_000))] * 20
    fails(client, cache, "3 times in a row")
    assert len(server.asked("GET", SHA256["model.safetensors"])) <= 4


def test_a_partial_file_longer_than_the_file_is_begun_anew(server, client, cache):
    partial_of(cache).parent.mkdir(parents=True)
    partial_of(cache).write_bytes(bytes(len(WEIGHTS) + 1))
    assert_whole(fetched(client, cache))


def test_a_partial_file_of_other_bytes_does_not_become_the_model(server, client, cache):
    partial_of(cache).parent.mkdir(parents=True)
    partial_of(cache).write_bytes(bytes(200_000))
    fails(client, cache, "has not the hub's checksum")
    assert not partial_of(cache).exists()
    assert_whole(fetched(client, cache))


def test_a_partial_file_that_is_whole_needs_no_byte_more(server, client, cache):
    partial_of(cache).parent.mkdir(parents=True)
    partial_of(cache).write_bytes(WEIGHTS)
    assert_whole(fetched(client, cache))
    assert not server.asked("GET", SHA256["model.safetensors"])


BAD_BODIES = {
    "another byte": (local_hub.changed, "has not the hub's checksum"),
    "html": (says(200, b"<html>log in</html>", Content_Type="text/html"), "19 bytes of"),
    "server error": (says(500), "answered 500"),
    "signature has run out": (says(403, b"<Error>secret signature</Error>"), "answered 403"),
    "gone": (says(404), "answered 404"),
    "teapot": (says(418), "answered 418"),
    "not modified": (says(304), "answered 304"),
    "no content": (says(204, Content_Length=None), "answered 204"),
    "huge": (local_hub.with_head(Content_Length=10**15), "1000000000000000 bytes of"),
    "length is no number": (local_hub.with_head(Content_Length="many"), "model.safetensors"),
    "short": (local_hub.with_head(Content_Length=1000), "1000 bytes of"),
    "compressed": (local_hub.with_head(Content_Encoding="gzip"), "compresses"),
    "another part": (
        says(206, WEIGHTS, Content_Range="bytes 5-300004/300005"), "another part",
    ),
    "endless": (local_hub.endless, "sends more of model.safetensors than its 300,000 bytes"),
    "silent": (local_hub.silent, "is silent"),
    "no answer": (local_hub.hang_up, "the connection was cut"),
    "slow head": (local_hub.slow_head, "did not answer within"),
    "trickle": (local_hub.trickle(100, 0.02), "bytes came in"),
    "redirect in a circle": (says(302, Location="/round"), "for ever"),
    "redirect to a file": (says(302, Location="file:///etc/passwd"), "redirects from http to file"),
    "redirect to nowhere": (says(302, Location="http://nowhere.invalid/"), "cannot reach"),
    "redirect to no URL": (says(302, Location="http://[::1"), "model.safetensors"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_BODIES)
def test_bad_bodies_are_one_line_and_leave_nothing_finished(server, client, cache, case):
    body, expected = BAD_BODIES[case]
    if "circle" in case:
        wanted = SHA256["model.safetensors"]
        body = says(302, Location=f"/{wanted}?round")
    server.bodies += [body] * 100
    fails(Hub(server.url, IMPATIENT.get(case, HASTE)), cache, expected)
    server.bodies.clear()
    assert_whole(fetched(client, cache))


BAD_PAGES = {
    "html": (says(200, b"<html>log in</html>"), "does not answer as a hub"),
    "empty": (says(200), "does not answer as a hub"),
    "server error": (says(500, b"Traceback"), "answered 500"),
    "too many requests": (says(429, Retry_After="100000"), "answered 429"),
    "bad request": (says(400), "answered 400"),
    "forbidden": (says(403), "may not be read (answer 403)"),
    "gated": (says(401, X_Error_Code="GatedRepo"), "give your token in HF_TOKEN"),
    "no checksum": (says(200, X_Repo_Commit=COMMIT), "no commit or no checksum"),
    "odd checksum": (
        says(200, X_Repo_Commit=COMMIT, ETag='"../../../evil"'), "no commit or no checksum",
    ),
    "odd commit": (
        says(200, X_Repo_Commit="../../evil", ETag=f'"{"c" * 40}"'), "no commit or no checksum",
    ),
    "other commit": (
        says(200, X_Repo_Commit=OTHER, ETag=f'"{"c" * 40}"'), f"with commit {OTHER} where",
    ),
    "no length": (
        says(200, X_Repo_Commit=COMMIT, ETag=f'"{"c" * 40}"', Content_Length=None),
        "does not say how long",
    ),
    "huge": (
        says(302, X_Repo_Commit=COMMIT, X_Linked_Etag=f'"{"c" * 64}"', X_Linked_Size=10**18,
             Location="http://localhost:9/"),
        "config.json has 1,000,000,000,000,000,000 bytes; 65,536 are the most",
    ),
    "silent": (local_hub.silent, "is silent"),
    "no answer": (local_hub.hang_up, "the connection was cut"),
    "slow head": (local_hub.slow_head, "did not answer within"),
    "redirect in a circle": (says(302, Location="/a/resolve/b/c"), "cannot be asked for"),
    "redirect to no URL": (
        says(302, X_Repo_Commit=COMMIT, X_Linked_Etag=f'"{"c" * 64}"', X_Linked_Size=10,
             Location="http://[::1"),
        "cannot be asked for",
    ),
    "redirect to no port": (
        says(302, X_Repo_Commit=COMMIT, X_Linked_Etag=f'"{"c" * 64}"', X_Linked_Size=10,
             Location="http://x:99999999/"),
        "cannot be asked for",
    ),
    "redirect to a file": (
        says(302, X_Repo_Commit=COMMIT, X_Linked_Etag=f'"{"c" * 64}"', X_Linked_Size=10,
             Location="file:///etc/passwd"),
        "redirects from http to file",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_PAGES)
def test_bad_answers_of_the_hub_are_one_line(server, client, cache, case):
    page, expected = BAD_PAGES[case]
    server.pages += [page] * 100
    fails(Hub(server.url, IMPATIENT.get(case, HASTE)), cache, expected)
    server.pages.clear()
    assert_whole(fetched(client, cache))


@pytest.mark.parametrize(
    ("repository", "revision", "expected"),
    [
        (REPOSITORY, OTHER, f"has no revision '{OTHER}'; name a tag, a branch, or a commit with"),
        (REPOSITORY, "../../../etc", "has no revision '../../../etc'"),
        (REPOSITORY, "a" * 5000, "has no revision 'aaa"),
        (REPOSITORY, "\x1b[31m", "has no revision '?[31m'"),
        ("authors/Absent", COMMIT, "may not be read (answer 401)"),
    ],
)
def test_what_the_hub_does_not_have(client, cache, repository, revision, expected):
    known = KnownModel("model", repository, COMMIT, "hg38", "none", "small")
    fails(client, cache, expected, known=known, revision=revision)


def test_a_revision_without_the_file(server, client, cache):
    server.add(REPOSITORY, OTHER, {"config.json": CONFIG, "pytorch_model.bin": WEIGHTS})
    fails(client, cache, "has no model.safetensors at revision", revision=OTHER)


def test_a_large_configuration_is_not_downloaded(server, client, cache):
    server.add(REPOSITORY, OTHER, FILES | {"config.json": b" " * ((64 << 10) + 1)})
    fails(client, cache, "65,536 are the most that are taken", revision=OTHER)
    assert not [verb for verb, *_ in server.requests if verb == "GET"]


def test_passing_troubles_of_the_hub_are_outlived(server, client, cache):
    server.pages += [says(503), local_hub.hang_up]
    assert_whole(fetched(client, cache))


def test_a_file_that_becomes_another_meanwhile_is_refused(server, client, cache):
    def exchanged(request, data):
        local_hub.cut(100_000)(request, data)
        server.add(REPOSITORY, COMMIT, FILES | {"model.safetensors": WEIGHTS[::-1]})

    server.bodies += [exchanged]
    fails(client, cache, "became another while it was downloaded")


def test_the_token_goes_to_the_hub_alone(server, client, cache, monkeypatch, caplog):
    monkeypatch.setenv("HF_TOKEN", "hf_very_secret")
    server.token = "hf_very_secret"
    with caplog.at_level("DEBUG"):
        found = fetched(client, cache)
    assert_whole(found)
    on_hub = [headers for _, path, headers in server.requests if "/resolve/" in path]
    elsewhere = [headers for _, path, headers in server.requests if "/resolve/" not in path]
    assert {headers["Authorization"] for headers in on_hub} == {"Bearer hf_very_secret"}
    assert elsewhere
    assert not [headers for headers in elsewhere if "Authorization" in headers]
    agents = {headers["User-Agent"].partition("/")[0] for _, _, headers in server.requests}
    assert agents == {"phylotools"}
    assert "very_secret" not in caplog.text
    for path in cache.rglob("*"):
        assert path.is_dir() or b"very_secret" not in path.read_bytes()


@pytest.mark.parametrize("token", ["hf_wrong", "hf\x07bell", "hf_m\u00fcll"])
def test_a_wrong_token_is_not_shown(server, client, cache, monkeypatch, token):
    monkeypatch.setenv("HF_TOKEN", token)
    server.token = "hf_right"
    text = fails(client, cache, "HF_TOKEN")
    assert token not in text
    assert "hf_right" not in text


@pytest.mark.parametrize(
    ("url", "target", "is_refused"),
    [
        ("https://hub/x", "http://hub/x", True),
        ("https://hub/x", "ftp://hub/x", True),
        ("https://hub/x", "https://storage/x", False),
        ("http://hub/x", "https://storage/x", False),
    ],
)
def test_nobody_is_led_off_an_encrypted_connection(url, target, is_refused):
    if is_refused:
        with pytest.raises(InputError, match="which is not followed"):
            hub._refuse_insecure(url, target)
    else:
        hub._refuse_insecure(url, target)


@pytest.fixture
def encrypted(data):
    """A hub whose connections are encrypted, by a certificate of its own making."""
    huggingface_hub.close_session()
    with local_hub.running_hub(data / "certificate" / "localhost.pem") as running:
        running.add(REPOSITORY, COMMIT, dict(FILES))
        yield running
    huggingface_hub.close_session()


def test_a_certificate_that_is_not_trusted(encrypted, client, cache):
    text = fails(Hub(encrypted.url, HASTE), cache, "the certificate of 127.0.0.1:")
    assert "is not trusted" in text
    assert "SSL_CERT_FILE" in text
    assert not encrypted.requests


def test_a_certificate_that_the_user_trusts(encrypted, client, cache, data, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(data / "certificate" / "localhost.pem"))
    trusted = Hub(encrypted.url, HASTE)
    unsafe = says(302, Location="http://localhost:9/")
    encrypted.bodies.append(unsafe)
    fails(trusted, cache, "localhost redirects from https to http, which is not followed")
    assert_whole(fetched(trusted, cache))


@pytest.mark.parametrize("named", ["absent.pem", "."])
def test_certificates_that_cannot_be_read(encrypted, client, cache, tmp_path, monkeypatch, named):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / named))
    fails(Hub(encrypted.url, HASTE), cache, "look at SSL_CERT_FILE")


def test_no_network_is_one_line_at_once(server, cache, client):
    with local_hub.running_hub() as gone:
        pass
    fails(Hub(gone.url, HASTE), cache, "cannot reach 127.0.0.1")
    fails(Hub("http://nowhere.invalid", HASTE), cache, "cannot reach nowhere.invalid")


@pytest.mark.parametrize("endpoint", ["nonsense", "http://", "http://[::1"])
def test_an_endpoint_that_is_none_is_one_line(endpoint):
    with pytest.raises(InputError, match="is no URL of a hub; look at HF_ENDPOINT"):
        Hub(endpoint, HASTE)


def test_an_endpoint_of_another_kind_is_one_line(client, cache):
    fails(Hub("ftp://127.0.0.1", HASTE), cache, "look at HF_ENDPOINT")


@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:9", "nonsense", "socks5://127.0.0.1:9", "http://"]
)
def test_proxies_that_do_not_work_are_one_line(server, cache, client, monkeypatch, proxy):
    huggingface_hub.close_session()
    monkeypatch.setenv("HTTP_PROXY", proxy)
    try:
        text = fails(client, cache, "", InputError)
    finally:
        huggingface_hub.close_session()
    assert "prox" in text or "127.0.0.1" in text


def test_files_come_through_a_proxy(server, client, cache, monkeypatch):
    """The proxy is asked for whole URLs: here the hub itself, under a name that nobody knows."""
    huggingface_hub.close_session()
    monkeypatch.setenv("HTTP_PROXY", server.url)
    server.add(REPOSITORY, OTHER, {"config.json": CONFIG})
    strange = Hub("http://hub.invalid", HASTE)

    def proxied(request):
        assert request.path.startswith("http://hub.invalid/authors/Model/resolve/")
        request.path = "/moved/" + request.path.removeprefix("http://hub.invalid/")
        server.right_page(request)

    server.pages.append(proxied)
    try:
        file = strange.locate(REPOSITORY, OTHER, "config.json")
    finally:
        huggingface_hub.close_session()
    assert (file.size, file.commit) == (len(CONFIG), OTHER)


def test_a_full_disk_is_one_line_and_the_download_goes_on_later(
    server, client, cache, file_size_limit
):
    with file_size_limit(100_000):
        text = fails(client, cache, "cannot write: File too large", OutputError)
    assert "PHYLOTOOLS_CACHE" in text
    assert_whole(fetched(client, cache))


def test_a_disk_without_room_is_noticed_before(server, client, cache, monkeypatch):
    free = downloads.shutil.disk_usage(cache.parent)._replace(free=1000)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: free)
    fails(client, cache, "300,000 bytes are to come and 1,000 are free", OutputError)
    assert not server.asked("GET", SHA256["model.safetensors"])


def test_a_cache_that_may_not_be_written(client):
    """Not even by root, whom tests may run as."""
    fails(client, Path("/proc/nobody/writes/here"), "here/hub", OutputError)


def test_a_cache_that_is_a_file(client, cache):
    cache.write_text("")
    fails(client, cache, "cannot write: Not a directory", OutputError)


def test_two_at_once_do_not_mix(server, client, cache):
    begun, may_end = threading.Event(), threading.Event()

    def slow(request, data):
        request.part(data)
        begun.set()
        may_end.wait(PATIENCE)
        request.send(data)

    server.bodies.append(slow)
    found: list = []
    patient = Hub(server.url, Patience(silence=PATIENCE))
    first = threading.Thread(target=lambda: found.append(fetched(patient, cache)))
    first.start()
    assert begun.wait(PATIENCE)
    fails(client, cache, "another run is going on in this folder", OutputError)
    may_end.set()
    first.join()
    assert_whole(found[0])


def library_cache(folder: Path, commit: str = COMMIT) -> Path:
    """The cache of the hub's library as it makes one: links to blobs."""
    model = folder / "library_cache" / "models--authors--Model"
    (model / "blobs").mkdir(parents=True)
    (model / "snapshots" / commit).mkdir(parents=True)
    for name in LARGEST:
        (model / "blobs" / SHA256[name]).write_bytes(FILES[name])
        (model / "snapshots" / commit / name).symlink_to(f"../../blobs/{SHA256[name]}")
    return model


def test_the_librarys_own_cache_saves_the_download(server, client, cache, tmp_path):
    library_cache(tmp_path)
    found = fetched(client, cache)
    assert_whole(found)
    assert not any(path.is_symlink() for path in found.folder.iterdir())
    assert not [verb for verb, *_ in server.requests if verb == "GET"]


def damage(blob: Path) -> None:
    blob.write_bytes(b"?" + blob.read_bytes()[1:])


def truncate(blob: Path) -> None:
    blob.write_bytes(blob.read_bytes()[:-1])


def make_a_pipe(blob: Path) -> None:
    blob.unlink()
    os.mkfifo(blob)


@pytest.mark.parametrize("harm", [truncate, Path.unlink, make_a_pipe])
def test_what_is_wrong_in_the_librarys_cache_is_downloaded(server, client, cache, tmp_path, harm):
    harm(library_cache(tmp_path) / "blobs" / SHA256["model.safetensors"])
    assert_whole(fetched(client, cache))
    assert server.asked("GET", SHA256["model.safetensors"])


def test_damage_in_the_librarys_cache_is_noticed(server, client, cache, tmp_path):
    damage(library_cache(tmp_path) / "blobs" / SHA256["model.safetensors"])
    fails(client, cache, "has not the hub's checksum")


@pytest.mark.parametrize("harm", [damage, truncate, Path.unlink, make_a_pipe])
@pytest.mark.parametrize("name", sorted(LARGEST))
def test_a_downloaded_file_that_was_damaged_is_downloaded_again(client, cache, harm, name):
    harm(fetched(client, cache).folder / name)
    assert_whole(fetched(client, cache))


@pytest.mark.parametrize("harm", [damage, truncate, Path.unlink, make_a_pipe])
@pytest.mark.parametrize("name", sorted(LARGEST))
def test_without_network_damage_is_one_line(client, cache, harm, name):
    folder = DownloadFolder(cache, KNOWN)
    with pytest.raises(InputError, match="is not in the cache"):
        folder.complete(COMMIT)
    assert not cache.exists()
    fetched(client, cache)
    assert_whole(folder.complete(COMMIT))
    harm(folder.files(COMMIT) / name)
    with pytest.raises(InputError, match=name):
        folder.complete(COMMIT)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"repository": "x", "commit": "y", "files": {}}', "[" * 70_000, "\0"],
)
def test_a_damaged_record_is_one_line(client, cache, text):
    fetched(client, cache)
    record = DownloadFolder(cache, KNOWN).record_path(COMMIT)
    record.write_text(text)
    with pytest.raises(InputError, match=r"a{40}\.json: is damaged.*; delete it"):
        fetched(client, cache)


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
def test_only_a_file_of_ours_is_written_to(client, cache, tmp_path, kind):
    partial, precious = partial_of(cache), tmp_path / "precious"
    partial.parent.mkdir(parents=True)
    if "link" in kind:
        partial.symlink_to(precious)
        if kind == "link":
            precious.write_text("dear")
    elif kind == "pipe":
        os.mkfifo(partial)
    else:
        partial.mkdir()
    fails(client, cache, f"{partial}: cannot write: ", OutputError)
    assert not precious.exists() or precious.read_text() == "dear"


def test_a_download_stops_where_it_is_interrupted(server, client, cache):
    class Interrupted:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def update(self, n):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(client, KNOWN, COMMIT, cache, lambda *_: Interrupted())
    assert_nothing_looks_finished(cache)
    assert_whole(fetched(client, cache))


def test_waiting_doubles_up_to_a_limit(monkeypatch):
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    for failures in (1, 2, 3, 9):
        Patience(first_wait=1, longest_wait=30).wait(failures)
    assert waited == [1, 2, 4, 30]


def test_the_library_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'phylotools\[hub\]'") as caught:
        Hub()
    assert caught.value.exit_code == 1


def test_local_hub_is_as_the_library_expects(server, client, tmp_path, monkeypatch):
    """The library's own download works with it, so that the tests test what they should."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    path = huggingface_hub.hf_hub_download(
        REPOSITORY, "model.safetensors", revision="main", endpoint=server.url,
        cache_dir=tmp_path / "own", token=False,
    )  # fmt: skip
    assert Path(path).read_bytes() == WEIGHTS
    assert isinstance(server, LocalHub)
