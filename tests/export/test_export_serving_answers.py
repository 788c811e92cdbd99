"""The clients believe no server: odd, wrong and slow answers are refused in one line."""

import base64
import contextlib
import json
import socket
import threading
import time

import numpy as np
import pytest
import serving_case as case

from export.serving import rest_client
from export.serving.client import Refused, Unreachable, client_main

PIXELS = case.pixels(5, 4)
SMALL = case.encode(PIXELS)


def ok(body, status=b"200 OK", more=b""):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = b"HTTP/1.1 " + status + b"\r\nContent-Length: " + str(len(body)).encode() + b"\r\n"
    return head + more + b"\r\n" + body


@contextlib.contextmanager
def server(answer, delay=0.0, piece=1):
    """Answers every connection with the same bytes, `piece` by `piece` where there is a delay."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopped = threading.Event()

    def serve():
        while not stopped.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(10)
                data = b""
                while b"\r\n\r\n" not in data:
                    data += connection.recv(65536)
                named = (data.lower() + b"content-length: 0\r\n").split(b"content-length: ")
                length = int(named[1].split(b"\r\n")[0])
                while len(data.split(b"\r\n\r\n", 1)[1]) < length:
                    data += connection.recv(65536)
                if not delay:
                    connection.sendall(answer)
                    continue
                for place in range(0, len(answer), piece):
                    if stopped.is_set():
                        return
                    connection.sendall(answer[place : place + piece])
                    time.sleep(delay)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stopped.set()
        listener.close()


def run(tmp_path, url, *more):
    (tmp_path / "a.png").write_bytes(SMALL)
    argv = [str(tmp_path / "a.png"), f"--output={tmp_path / 'out'}", f"--url={url}"]
    return client_main(
        rest_client.RestTransport, "x", "x", rest_client.URL, [*argv, "--retries=0", *more]
    )


def nothing_written(tmp_path, capsys, code):
    said = capsys.readouterr().err
    assert code in (1, 2) and 1 <= len(said.splitlines()) <= 3, said
    assert said.startswith("error: ") and "Traceback" not in said
    assert all(letter.isprintable() or letter == "\n" for letter in said)
    assert not list((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else True
    return said


def encoded(data):
    return ok({"outputs": [case.b64(data)]})


OTHER = case.encode(case.pixels(9, 7))
ODD = {
    "empty base64": ok({"outputs": [{"b64": ""}]}),
    "wrong base64": ok({"outputs": [{"b64": "%%%" + base64.b64encode(SMALL).decode()}]}),
    "a text": encoded(b"<html>no picture</html>"),
    "a JPEG": encoded(case.encode(PIXELS, "JPEG")),
    "another size": encoded(OTHER),
    "half a PNG": encoded(SMALL[:-20]),
    "two results": ok({"outputs": [case.b64(SMALL)] * 2}),
    "no results": ok({"outputs": []}),
    "numbers": ok({"outputs": PIXELS[None].tolist()}),
    "b64 of another type": ok({"outputs": [{"b64": 3}]}),
    "b64 not ASCII": ok({"outputs": [{"b64": "ä"}]}),
    "no b64": ok({"outputs": [{"c": 3}]}),
    "a list of lists": ok({"outputs": [[[]]]}),
    "a name": ok({"outputs": "x"}),
    "null": ok({"outputs": None}),
    "no outputs": ok({}),
    "a number": ok(b"3"),
    "no JSON": ok(b"<html>"),
    "no UTF-8": ok(b"\xff\xfe{}"),
    "nothing": ok(b""),
    "brackets": ok(b"[" * 900),
    "very many brackets": ok(b'{"outputs":' + b"[" * 100_000),
    "very many lists": ok(b'{"outputs":[' + b"[]," * 100_000 + b"[]]}"),
    "too long": ok(b" " * (2**20 + 500 * len(SMALL) + 2)),
    "a status alone": b"HTTP/1.1 200 OK\r\n\r\n",
    "no status": b"SSH-2.0-OpenSSH\r\n",
    "cut short": encoded(SMALL)[:-50],
    "closed": b"",
    "a long header": b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000,
    "very many headers": b"HTTP/1.1 200 OK\r\n" + b"A: x\r\n" * 300 + b"\r\n",
    "a wrong length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{}",
    "no length": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
    "wrong chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
    "an error": ok({"error": "\x1b[31mred\nline\r\n\x07"}, b"400 Bad Request"),
    "an error of no text": ok(b"", b"500 Internal Server Error"),
    "an error of brackets": ok(b"[" * 1900, b"404 Not Found"),
    "an error without end": ok(b"x" * 10**6, b"403 Forbidden"),
    "elsewhere": ok(b"", b"302 Found", b"Location: file:///etc/passwd\r\n"),
    "in circles": ok(b"", b"302 Found", b"Location: /\r\n"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_answers(tmp_path, capsys, name):
    with server(ODD[name]) as url:
        code = run(tmp_path, url, "--timeout=20")
    nothing_written(tmp_path, capsys, code)


def test_a_right_answer_is_written(tmp_path, capsys):
    with server(encoded(SMALL)) as url:
        assert run(tmp_path, url) == 0
    assert (tmp_path / "out/a.png").read_bytes() == SMALL


@pytest.mark.parametrize("signature", ["uint8", "serving_default"])
@pytest.mark.parametrize(
    "outputs",
    [
        PIXELS.tolist(),
        case.pixels(9, 7)[None].tolist(),
        [PIXELS.tolist(), PIXELS.tolist()],
        (PIXELS[None] * np.nan).tolist(),
        (PIXELS[None] + 1e300).tolist(),
        [[["x"]]],
        [{"b64": ""}],
        [[[[0, 0, 0]], [[0]]]],
        [None],
    ],
)
def test_odd_arrays(tmp_path, capsys, signature, outputs):
    with server(ok({"outputs": outputs})) as url:
        code = run(tmp_path, url, f"--signature={signature}")
    nothing_written(tmp_path, capsys, code)


@pytest.mark.parametrize("value", [0.5, -1, 256])
def test_levels_are_whole_numbers(tmp_path, capsys, value):
    outputs = PIXELS[None].tolist()
    outputs[0][0][0][0] = value
    with server(ok({"outputs": outputs})) as url:
        code = run(tmp_path, url, "--signature=uint8")
    assert "whole numbers from 0 to 255" in nothing_written(tmp_path, capsys, code)


@pytest.mark.parametrize("start", [0, 40])
@pytest.mark.parametrize("chunked", [False, True])
def test_the_deadline_is_that_of_the_whole_answer(start, chunked):
    # Byte by byte, each of them in time, the answer would take minutes.
    whole = encoded(SMALL + bytes(10_000))
    if chunked:
        whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 10_000
    with server(whole, delay=0.05, piece=1 if start == 0 else start) as url:
        transport = rest_client.RestTransport(url, "denoiser")
        with pytest.raises(Unreachable, match="no whole answer within 0.5 s"):
            transport.predict("encoded", {"image_bytes": [SMALL]}, 0.5)


@pytest.mark.parametrize("url", ["nonsense", "ftp://x", "http://[", "http://a b", "http://x:y", ""])
def test_addresses_that_are_none(url):
    with pytest.raises((Refused, Unreachable)) as caught:
        rest_client.RestTransport(url, "denoiser").predict("encoded", {"image_bytes": [b""]}, 5)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("shape", [(1, 1200, 2, 1), (3, 998, 4, 1), (2, 5, 7, 3)])
def test_arrays_of_any_shape_have_as_many_lists_as_they_need(shape):
    images = np.zeros(shape, np.uint8)
    data = json.dumps({"outputs": images.tolist()}).encode()
    assert rest_client._outputs(data, {"images": images}).shape == shape
    with pytest.raises(ValueError, match="more lists"):
        rest_client._outputs(data.replace(b"0", b"[" * 12 + b"0" + b"]" * 12), {"images": images})
