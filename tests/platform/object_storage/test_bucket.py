"""An S3 service that fails: the same bytes as without, or a clear error by the deadline."""

import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from calsweep.platform.object_storage import bucket, parts_upload
from calsweep.platform.object_storage.address import StorageRefused
from calsweep.platform.object_storage.bucket import Bucket
from tests.faults import FAULTS, FaultProxy

pytestmark = pytest.mark.skipif(
    "CALSWEEP_TEST_S3" not in os.environ, reason="CALSWEEP_TEST_S3 names no S3 endpoint"
)
ADDRESS = "s3://calsweep-test/m1"
DATA = bytes(range(256)) * 4000


@pytest.fixture
def wire(s3, monkeypatch):
    """Give a way to put a fault before the endpoint."""

    def start(choose, **options):
        proxy = FaultProxy(os.environ["CALSWEEP_TEST_S3"], choose, **options)
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        running.append(proxy.running())
        return running[-1].__enter__()

    running = []
    yield start
    for context in running:
        context.__exit__(None, None, None)


def put(s3, name="a.bin", data=DATA):
    s3.put_object(Bucket="calsweep-test", Key=f"m1/{name}", Body=data)


def get(s3, name):
    return s3.get_object(Bucket="calsweep-test", Key=f"m1/{name}")["Body"].read()


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_at_first_gives_the_same_bytes(s3, wire, fault):
    put(s3)
    proxy = wire(lambda _, __, n: fault if n == 0 else "", silence_s=6.0)
    assert Bucket(ADDRESS, silence_s=4.0).read("a.bin") == DATA
    assert proxy.faults == {fault: 1}
    assert len(proxy.requests) == 3  # the fault; the head of the file, and the rest


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_that_stays_is_told_by_the_deadline(s3, wire, fault):
    put(s3)
    wire(lambda *_: fault, silence_s=6.0)
    begun = time.monotonic()
    with pytest.raises(StorageRefused) as caught:
        Bucket(ADDRESS, silence_s=4.0, deadline_s=3.0).read("a.bin")
    assert time.monotonic() - begun < 15
    said = {
        "503": "the service answered ServiceUnavailable to GetObject: try again",
        "SlowDown": "the service answered SlowDown to GetObject: try again",
        "403": "the credentials do not allow GetObject: have it allowed",
        "reset": "the connection breaks off again and again",
        "half a body": "the connection breaks off again and again",
        "silence": "did not answer in time (ReadTimeoutError)",
    }[fault]
    assert said in str(caught.value)
    assert "testing" not in str(caught.value)


def test_body_that_never_ends_is_given_up_at_the_deadline(s3, wire, monkeypatch):
    put(s3)
    monkeypatch.setattr(bucket, "_PIECE_BYTES", 1000)
    wire(lambda *_: "")
    with pytest.raises(StorageRefused, match="did not answer in time"):
        Bucket(ADDRESS, deadline_s=0.0).read("a.bin")


def test_deadline_amid_an_answer_tells_what_broke_the_attempts_before(s3, wire, monkeypatch):
    put(s3)
    monkeypatch.setattr(bucket, "_PIECE_BYTES", 1000)
    wire(lambda *_: "half a body")
    read, deadlines = Bucket._fill, iter([math.inf, 0.0])
    monkeypatch.setattr(Bucket, "_fill", lambda *given, **_: read(*given, give_up=next(deadlines)))
    with pytest.raises(StorageRefused, match="breaks off again and again"):
        Bucket(ADDRESS).read("a.bin")
    assert next(deadlines, None) is None  # the first attempt ended at the fault, the second by time


def test_one_in_five_requests_fails_and_all_arrives(s3, wire):
    names = [f"{i}.bin" for i in range(30)]
    for i, name in enumerate(names):
        put(s3, name, DATA[i:])
    faults = [fault for fault in FAULTS if fault != "silence"]
    proxy = wire(lambda _, __, n: faults[n // 5 % len(faults)] if n % 5 == 0 else "")
    bucket = Bucket(ADDRESS)
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(bucket.read, names, timeout=60))
    assert got == [DATA[i:] for i in range(30)]
    assert sum(proxy.faults.values()) >= 6


def test_refusal_after_other_faults_is_not_the_last_word(s3, wire):
    put(s3)
    met = ["503", "SlowDown", "403", "reset", "403"]
    proxy = wire(lambda _, __, n: met[n] if n < len(met) else "")
    assert Bucket(ADDRESS).read("a.bin") == DATA
    assert len(proxy.requests) == 7


@pytest.mark.parametrize(("n_bytes", "n_requests"), [(0, 2), (1, 1), (65_536, 1), (65_537, 2)])
def test_file_that_fits_into_its_head_is_asked_for_once(s3, wire, n_bytes, n_requests):
    put(s3, data=DATA[:n_bytes])
    proxy = wire(lambda *_: "")
    assert Bucket(ADDRESS).read("a.bin") == DATA[:n_bytes]
    assert len(proxy.requests) == n_requests


def test_file_that_is_replaced_between_its_parts_is_read_anew(s3, wire):
    put(s3)

    def replace(method, path, n):
        if n == 1:
            put(s3, data=DATA[::-1])
        return ""

    proxy = wire(replace)
    assert Bucket(ADDRESS).read("a.bin") == DATA[::-1]
    assert len(proxy.requests) == 3


def test_service_without_parts_gives_the_whole(s3, monkeypatch):
    class Whole(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(DATA)))
            self.end_headers()
            self.wfile.write(DATA)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Whole) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
        got = Bucket(ADDRESS).read("a.bin")
        server.shutdown()
    assert got == DATA


@pytest.mark.parametrize("fault", ["503", "reset"])
def test_first_look_asks_again_after_a_fault_in_passing(s3, wire, fault):
    proxy = wire(lambda _, __, n: fault if n == 0 else "")
    Bucket(ADDRESS).preflight()
    assert proxy.faults == {fault: 1}
    assert len(proxy.requests) == 2


def test_missing_file_is_no_fault(s3, wire):
    proxy = wire(lambda *_: "")
    with pytest.raises(FileNotFoundError, match="s3://calsweep-test/m1/none.bin"):
        Bucket(ADDRESS).read("none.bin")
    assert len(proxy.requests) == 1


def test_refused_credentials_are_not_asked_for_long(s3, wire, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    proxy = wire(lambda *_: "")
    with pytest.raises(StorageRefused, match="credentials were refused"):
        Bucket(ADDRESS).read("a.bin")
    assert len(proxy.requests) == 3


def parts(monkeypatch, tmp_path):
    """Give a file of three parts."""
    monkeypatch.setattr(parts_upload, "PART_BYTES", 5 * 2**20)
    monkeypatch.setattr(parts_upload, "_N_PARTS_AT_ONCE", 1)
    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(12 * 2**20))
    return file


def test_upload_in_parts_goes_on_where_it_broke_off(s3, wire, monkeypatch, tmp_path):
    file = parts(monkeypatch, tmp_path)
    third = "partNumber=3"
    proxy = wire(lambda _, path, __: "503" if third in path else "")
    with pytest.raises(StorageRefused, match="ServiceUnavailable to UploadPart"):
        Bucket(ADDRESS, deadline_s=1.0).upload(file)
    assert s3.list_objects_v2(Bucket="calsweep-test").get("Contents", []) == []
    before = len(proxy.requests)
    proxy.choose = lambda *_: ""
    Bucket(ADDRESS).upload(file)
    sent = [path for method, path in proxy.requests[before:] if "partNumber=" in path]
    assert len(sent) == 1
    assert third in sent[0]
    assert get(s3, "large.bin") == file.read_bytes()


def test_what_is_there_is_not_sent_again(s3, wire, monkeypatch, tmp_path):
    file = parts(monkeypatch, tmp_path)
    proxy = wire(lambda *_: "")
    Bucket(ADDRESS).upload(file)
    before = len(proxy.requests)
    Bucket(ADDRESS).upload(file)
    assert [method for method, _ in proxy.requests[before:]] == ["HEAD"]
    file.write_bytes(b"another" * 1000)
    Bucket(ADDRESS).upload(file)
    assert get(s3, "large.bin") == b"another" * 1000


def test_upload_through_faults_arrives(s3, wire, monkeypatch, tmp_path):
    file = parts(monkeypatch, tmp_path)
    faults = ["503", "reset", "SlowDown"]
    proxy = wire(lambda _, __, n: faults[n // 2 % 3] if n % 2 == 0 else "")
    Bucket(ADDRESS).upload(file)
    assert get(s3, "large.bin") == file.read_bytes()
    assert sum(proxy.faults.values()) >= 5


def test_removed_upload_leaves_no_parts(s3, wire, monkeypatch, tmp_path):
    file = parts(monkeypatch, tmp_path)
    proxy = wire(lambda _, path, __: "503" if "partNumber=3" in path else "")
    with pytest.raises(StorageRefused):
        Bucket(ADDRESS, deadline_s=1.0).upload(file)
    proxy.choose = lambda *_: ""
    Bucket(ADDRESS).delete(["large.bin"])
    assert s3.list_multipart_uploads(Bucket="calsweep-test").get("Uploads", []) == []


def test_part_of_a_file_is_read_through_faults(s3, wire):
    put(s3)
    faults = [fault for fault in FAULTS if fault != "silence"]
    proxy = wire(lambda _, __, n: faults[n // 2 % len(faults)] if n % 2 == 0 else "")
    with Bucket(ADDRESS).open("a.bin") as opened:
        for at in (1_000_000, 5, 600_000):
            opened.seek(at)
            assert opened.read(1_000) == DATA[at : at + 1_000]
        assert opened.seek(0, os.SEEK_END) == len(DATA)
        assert opened.version.endswith(f"{len(DATA)} bytes")
    assert sum(proxy.faults.values()) >= 4


def test_fault_that_stays_while_parts_are_read_is_told(s3, wire):
    put(s3)
    proxy = wire(lambda *_: "")
    opened = Bucket(ADDRESS, deadline_s=1.0).open("a.bin")
    proxy.choose = lambda *_: "503"
    with pytest.raises(StorageRefused, match="answered ServiceUnavailable to GetObject"):
        opened.read(10)


def test_file_that_is_replaced_while_it_is_read_is_told(s3):
    put(s3)
    opened = Bucket(ADDRESS).open("a.bin")
    assert opened.read(4) == DATA[:4]
    put(s3, data=DATA[::-1])
    opened.seek(900_000)
    with pytest.raises(StorageRefused, match="a file was replaced while it was read"):
        opened.read(4)


def test_file_to_open_that_is_not_there_is_told(s3):
    with pytest.raises(FileNotFoundError, match="s3://calsweep-test/m1/none.bin"):
        Bucket(ADDRESS).open("none.bin")
