"""A hub on this machine for tests: its API, its file addresses, and another server that large files are sent from.

What it says and in which headers is that of huggingface.co, as huggingface_hub reads it: `siblings` with sizes and
sums, X-Repo-Commit, ETag, X-Linked-Size, X-Linked-Etag, redirects to another host for large files, ranges, error codes.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LARGE = 1_000  # bytes from which on a file is stored apart


@dataclass
class Repo:
    files: dict[str, bytes]
    revision: str = "a" * 40
    terms: bool = False  # only who has accepted them (the token "accepted") may have the files
    private: bool = False
    bare: bool = False  # tells the names of files and nothing more, as some mirrors do


@dataclass
class Asked:
    method: str
    path: str
    range: str | None
    authorization: str | None


Fault = Callable[
    ["_Handler", bytes, int], bytes | None
]  # instead of a body: another body, or None when it has answered


def cut(after: int) -> Fault:
    """The connection breaks after so many bytes."""

    def fault(handler: _Handler, body: bytes, first: int) -> None:
        handler.begin(body, first)
        handler.wfile.write(body[first : first + after])
        handler.wfile.flush()
        handler.connection.close()
        handler.close_connection = True

    return fault


def hold(after: int, reached: threading.Event) -> Fault:
    """After so many bytes nothing more comes, until the other side is gone."""

    def fault(handler: _Handler, body: bytes, first: int) -> None:
        handler.begin(body, first)
        handler.wfile.write(body[first : first + after])
        handler.wfile.flush()
        reached.set()
        handler.connection.recv(1)  # ends with the connection
        handler.close_connection = True

    return fault


def status(code: int) -> Fault:
    def fault(handler: _Handler, body: bytes, first: int) -> None:
        handler.refuse(code)

    return fault


def damaged(handler: _Handler, body: bytes, first: int) -> bytes:
    """One bit is wrong, the length is right."""
    return body[:-1] + bytes([body[-1] ^ 1])


def without_ranges(handler: _Handler, body: bytes, first: int) -> None:
    handler.begin(body, 0)
    handler.wfile.write(body)


@dataclass
class Hub:
    """Use as a context manager."""

    repos: dict[str, Repo] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)  # by file name, one per GET
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> Hub:
        self.servers = [self._serve() for _ in range(2)]
        self.address, self.storage = (f"http://127.0.0.1:{one.server_address[1]}" for one in self.servers)
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.servers:
            one.shutdown()
            one.server_close()

    def _serve(self) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return server

    def fetched(self) -> list[str]:
        """The names of files whose contents were asked for, redirects not counted."""
        gets = (re.search(r"/resolve/[^/]+/(.+)", one.path) for one in self.asked if one.method == "GET")
        return [hit[1] for hit in gets if hit]

    def ranges(self, name: str) -> list[str | None]:
        return [one.range for one in self.asked if one.method == "GET" and one.path.endswith("/" + name)]


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        headers = self.headers
        self.hub.asked.append(Asked(self.command, path, headers.get("Range"), headers.get("Authorization")))
        if hit := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/.+)?", path):
            self._model(hit[1])
        elif hit := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._file(hit[1], hit[3])
        elif hit := re.fullmatch(r"/stored/([^/]+/[^/]+)/(.+)", path):
            if headers.get("Authorization"):  # as a signed address of S3 does
                self.refuse(400)
            else:
                self._body(self.hub.repos[hit[1]].files[hit[2]], hit[2])
        else:
            self.refuse(404)

    def _repo(self, name: str) -> Repo | None:
        known = {one.lower(): one for one in self.hub.repos}
        repo = self.hub.repos.get(known.get(name.lower(), ""))
        token = self.headers.get("Authorization")
        if token == "Bearer wrong":
            self.refuse(401, message="Invalid credentials in Authorization header")
        elif repo is None or (repo.private and token is None):
            if token is None:
                self.refuse(401, message="Invalid username or password.")
            else:
                self.refuse(404, "RepoNotFound", "Repository not found")
        else:
            return repo
        return None

    def _model(self, name: str) -> None:
        repo = self._repo(name)
        if repo is None:
            return
        siblings: list[dict[str, Any]] = [{"rfilename": file} for file in repo.files]
        for one in siblings if not repo.bare else ():
            data = repo.files[one["rfilename"]]
            one |= {"size": len(data), "blobId": git_sum(data)}
            if len(data) >= LARGE:
                one["blobId"] = "0" * 40  # of the pointer, not of the content
                one["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
        official = next(one for one in self.hub.repos if one.lower() == name.lower())
        self._json(200, {"id": official, "modelId": official, "sha": repo.revision, "siblings": siblings})

    def _file(self, name: str, file: str) -> None:
        repo = self._repo(name)
        if repo is None:
            return
        token = self.headers.get("Authorization")
        if repo.terms and token != "Bearer accepted":
            self.refuse(401 if token is None else 403, "GatedRepo", "Access to this model is restricted.")
        elif file not in repo.files:
            self.refuse(404, "EntryNotFound", "Entry not found")
        elif len(repo.files[file]) >= LARGE:
            data = repo.files[file]
            self.send_response(302)
            self.send_header("Location", f"{self.hub.storage}/stored/{name}/{file}")
            self.send_header("X-Repo-Commit", repo.revision)
            self.send_header("X-Linked-Size", str(len(data)))
            self.send_header("X-Linked-Etag", f'"{hashlib.sha256(data).hexdigest()}"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._body(repo.files[file], file, repo.revision)

    def _body(self, body: bytes, file: str, revision: str = "") -> None:
        hit = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        first = int(hit[1]) if hit else 0
        if first >= len(body) > 0:
            self.refuse(416)
            return
        faults = self.hub.faults.get(file)
        if self.command == "GET" and faults:
            changed = faults.pop(0)(self, body, first)
            if changed is None:
                return
            body = changed
        self.begin(body, first, revision)
        if self.command == "GET":
            self.wfile.write(body[first:])

    def begin(self, body: bytes, first: int, revision: str = "") -> None:
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - first))
        self.send_header("ETag", f'"{git_sum(body)}"')
        if revision:
            self.send_header("X-Repo-Commit", revision)
        self.end_headers()

    def refuse(self, code: int, kind: str = "", message: str = "") -> None:
        headers = {name: text for name, text in (("X-Error-Code", kind), ("X-Error-Message", message)) if text}
        self._json(code, {"error": message or f"Error {code}"}, headers)

    def _json(self, code: int, content: object, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        for name, text in {**(headers or {}), "Content-Type": "application/json"}.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


def git_sum(data: bytes) -> str:
    """git's name of a content: `git hash-object`."""
    return hashlib.sha1(b"blob %d\0%b" % (len(data), data)).hexdigest()
