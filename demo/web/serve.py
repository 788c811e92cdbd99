"""Serves a folder on this machine with the headers that WebAssembly threads require.

python -m demo.web.serve --folder=out/web_demo --port=8000

Browsers provide shared memory, and thus threads, only to pages that Cross-Origin-Opener-Policy and
Cross-Origin-Embedder-Policy isolate from other sites. The Content-Security-Policy restricts the
page and its worker to this server.
"""

import http.server
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from gradnet_tf.utils.command import guarded
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.options import ArgumentParser, path_argument

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    # LiteRT.js compiles WebAssembly, and Emscripten's bindings create functions from text.
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-eval'; "
    "worker-src 'self' blob:; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # So that a rebuilt page is visible immediately.
    "Cache-Control": "no-cache",
}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Static files with `HEADERS`; folders without an index are not listed."""

    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        # These differ between systems, and wrong ones break modules and WebAssembly.
        ".js": "text/javascript",
        ".json": "application/json",
        ".wasm": "application/wasm",
        ".tflite": "application/octet-stream",
    }

    def end_headers(self):
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path):
        self.send_error(404, "File not found")

    def log_message(self, format, *args):
        if args and str(args[1]).startswith(("4", "5")):
            super().log_message(format, *args)


def make_server(folder: Path, host: str = "127.0.0.1", port: int = 0):
    """Returns a server of `folder`, ready for `serve_forever`.

    Args:
        folder: the folder of index.html.
        host: address to listen on; 0.0.0.0 allows other devices.
        port: 0 uses a free one, which is the result's `server_port`.

    Raises:
        UserError: there is no page, or the port is in use.
    """
    if not (folder / "index.html").is_file():
        raise UserError(f"--folder={folder}: no index.html. Build the page: make web-demo.")
    try:
        handler = partial(Handler, directory=str(folder))
        return http.server.ThreadingHTTPServer((host, port), handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"--port={port}: {reason}. Choose another one, or 0.") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Parses the command line and serves until Ctrl-C; returns the exit code."""
    parser = ArgumentParser(prog="python -m demo.web.serve", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=path_argument, required=True, help="folder of the page")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000, help="0 uses a free port")
    options = parser.parse_args(arguments)
    with make_server(options.folder, options.host, options.port) as server:
        name = "localhost" if options.host == "127.0.0.1" else options.host
        print(f"The demo: http://{name}:{server.server_port}/  (Ctrl-C to stop)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
