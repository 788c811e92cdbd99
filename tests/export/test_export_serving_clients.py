"""The REST and the gRPC client, against the stand-in for TF Serving and against broken servers."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
import serving_case as case

from export.savedmodel.saved_model import write_saved_model
from export.serving import client, grpc_client, rest_client
from export.serving.client import client_main, with_retries
from export.serving.grpc_client import GrpcTransport
from export.serving.rest_client import RestTransport
from gradnet_tf.images.image_files import read_image, to_float, to_uint8
from gradnet_tf.utils.ownership import MANIFEST
from tools.stand_in_grpc import start_grpc
from tools.stand_in_model import Servable
from tools.stand_in_rest import start_rest

CLIENTS = {"rest": (RestTransport, rest_client), "grpc": (GrpcTransport, grpc_client)}


@pytest.fixture(scope="module")
def model():
    return case.tiny_ffdnet()


@pytest.fixture(scope="module")
def urls(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    write_saved_model(model, folder / "1")
    servable = Servable(folder, "denoiser")
    grpc_server, grpc_port = start_grpc(servable)
    rest_server, rest_port = start_rest(servable)
    yield {"rest": f"http://127.0.0.1:{rest_port}", "grpc": f"127.0.0.1:{grpc_port}"}
    grpc_server.stop(grace=None).wait()
    rest_server.shutdown()
    rest_server.server_close()


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "noisy.jpg"
    path.write_bytes(case.encode(case.pixels(37, 31), "JPEG", quality=95))
    return path


@pytest.fixture
def no_waiting(monkeypatch):
    monkeypatch.setattr(client.with_retries, "__defaults__", (4, 0.0, lambda seconds: None))


def run(kind, *arguments):
    make_transport, module = CLIENTS[kind]
    return client_main(make_transport, module.__name__, module.__doc__, module.URL, [*arguments])


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("signature", ["encoded", "uint8", "serving_default"])
def test_a_file_is_denoised(kind, signature, urls, image, model, tmp_path, capsys):
    output = tmp_path / "out"
    given = (str(image), f"--output={output}", f"--url={urls[kind]}", "--sigma=40")
    assert run(kind, *given, f"--signature={signature}") == 0
    found = read_image(output / "noisy.png")
    level = np.float32([40])
    wanted = to_uint8(np.asarray(model(to_float(read_image(image))[None], sigma=level))[0])
    assert np.abs(found.astype(int) - wanted).max() <= 1
    assert capsys.readouterr().out == f"{output / 'noisy.png'}\n"
    assert run(kind, *given, f"--signature={signature}") == 0  # its own is replaced


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_refused_image_does_not_stop_the_others(kind, urls, image, tmp_path, capsys):
    bad, output = tmp_path / "bad.png", tmp_path / "out"
    bad.write_bytes(b"junk")
    given = (str(bad), str(image), f"--output={output}", f"--url={urls[kind]}", "--sigma=40")
    assert run(kind, *given) == 1
    said = capsys.readouterr().err
    assert f"error: {bad}: " in said and "expected a PNG or JPEG file" in said
    assert sorted(path.name for path in output.iterdir()) == [MANIFEST, "noisy.png"]


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_missing_noise_level_is_named(kind, urls, image, tmp_path, capsys):
    assert run(kind, str(image), f"--output={tmp_path / 'out'}", f"--url={urls[kind]}") == 1
    assert "sigma" in capsys.readouterr().err


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_wrong_model_name_or_version_is_named(kind, urls, image, tmp_path, capsys):
    given = (str(image), f"--output={tmp_path / 'out'}", f"--url={urls[kind]}", "--sigma=40")
    assert run(kind, *given, "--model-name=other") == 1
    assert "Latest(other)" in capsys.readouterr().err
    assert run(kind, *given, "--version=9") == 1
    assert "Specific(denoiser, 9)" in capsys.readouterr().err
    assert run(kind, *given, "--version=1") == 0


@pytest.mark.parametrize(("kind", "url"), [("rest", "http://127.0.0.1:9"), ("grpc", "127.0.0.1:9")])
def test_no_server_is_asked_again_and_then_reported(kind, url, image, tmp_path, capsys, no_waiting):
    given = (str(image), f"--output={tmp_path / 'out'}", f"--url={url}", "--retries=2")
    assert run(kind, *given, "--timeout=5") == 1
    said = capsys.readouterr().err
    assert "Is the server running" in said and "Traceback" not in said


def test_a_busy_server_is_asked_again(image, tmp_path, no_waiting):
    """A server that answers 503 twice, then an image."""
    statuses = [503, 503, 200]
    answer = case.encode(case.pixels(*read_image(image).shape[:2]))

    class Busy(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            status = statuses.pop(0)
            body = rest_json_of(answer) if status == 200 else b'{"error": "queue is full"}'
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Busy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"--url=http://127.0.0.1:{server.server_address[1]}"
    assert run("rest", str(image), f"--output={tmp_path / 'out'}", url) == 0
    assert statuses == [] and (tmp_path / "out" / "noisy.png").read_bytes() == answer
    statuses[:] = [503] * 5
    assert run("rest", str(image), f"--output={tmp_path / 'out'}", url, "--retries=1") == 1
    assert len(statuses) == 3
    server.shutdown()
    server.server_close()


def rest_json_of(data):
    from tools.stand_in_rest import write_outputs

    return write_outputs({"denoised_bytes": case.files(data)}, row_format=False)


@pytest.mark.parametrize("kind", CLIENTS)
def test_the_benchmark_prints_rates_and_writes_nothing(kind, urls, image, tmp_path, capsys):
    given = (str(image), f"--url={urls[kind]}", "--sigma=40", "--benchmark=6", "--concurrency=2")
    assert run(kind, *given) == 0
    printed = capsys.readouterr().out
    assert "6 requests in" in printed and "MP/s" in printed and "p99" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["noisy.jpg"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--output: expected a folder"),
        (("--output=o", "--timeout=0"), "--timeout: expected 0.001 or more"),
        (("--output=o", "--timeout=inf"), "--timeout: expected at most a day"),
        (("--output=o", "--timeout=1e10"), "--timeout: expected at most a day"),
        (("--output=o", "--retries=-1"), "--retries: expected 0 or more"),
        (("--benchmark=5", "--concurrency=0"), "--concurrency: expected 1 or more"),
    ],
)
def test_wrong_usage_exits_2(arguments, message, image, capsys):
    assert run("rest", str(image), *arguments) == 2
    assert message in capsys.readouterr().err


def test_files_are_looked_at_before_a_server_is_asked(image, tmp_path, capsys):
    output = f"--output={tmp_path / 'out'}"
    assert run("rest", str(image), str(tmp_path / "missing.png"), output) == 2
    assert "missing.png does not exist" in capsys.readouterr().err
    twin = tmp_path / "noisy.png"
    twin.write_bytes(image.read_bytes())
    assert run("rest", str(image), str(twin), output) == 2
    assert "written to the same file" in capsys.readouterr().err
    assert run("rest", str(twin), f"--output={tmp_path}") == 2
    assert "would overwrite it" in capsys.readouterr().err
    mine = tmp_path / "out/noisy.png"
    mine.parent.mkdir()
    mine.write_text("mine")
    assert run("rest", str(image), output) == 2
    assert f"{mine} exists and is not a result" in capsys.readouterr().err
    assert mine.read_text() == "mine"


def answering(answers):
    """A server that gives one raw answer per connection; returns its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listener:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(2**16)
                    connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("kind", ["cut off", "too many requests"])
def test_passing_conditions_are_asked_again(kind, no_waiting):
    body = b'{"outputs": [[[[0.5], [0.25]]]]}'
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    busy = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 4\r\n\r\nbusy"
    url = answering([busy if kind == "too many requests" else whole[:-20], whole])
    transport = RestTransport(url, "denoiser")
    inputs = {"images": np.zeros((1, 1, 2, 1), np.float32)}
    result = with_retries(lambda: transport.predict("serving_default", inputs, 5.0), 3)
    np.testing.assert_array_equal(result, [[[[0.5], [0.25]]]])
