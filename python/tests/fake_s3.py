"""A small S3 service over HTTP, in memory; what it holds is at plain web addresses too."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from fake_server import FakeServer, Handler


class FakeS3(FakeServer):
    """Serves ``objects``, by bucket and key, at ``address`` until it is left."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.bytes_out = 0
        self.requests: list[str] = []
        self.authorizations: list[str] = []
        service = self

        class Playing(Handler):
            def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
                self.say(status, body, {name.replace("_", "-"): value for name, value in headers.items()})

            def handle_all(self) -> None:
                url = urlsplit(self.path)
                key, query = unquote(url.path.lstrip("/")), parse_qs(url.query)
                service.requests.append(f"{self.command} {key}")
                service.authorizations.append(self.headers.get("Authorization", ""))
                sent = self.body()
                if self.command == "PUT":
                    if self.headers.get("If-None-Match") and key in service.objects:
                        return self.answer(412)
                    service.objects[key] = sent
                    return self.answer(200, ETag=_tag(sent))
                if self.command == "DELETE":
                    service.objects.pop(key, None)
                    return self.answer(204)
                if "list-type" in query:
                    prefix = key.rstrip("/") + "/" + query.get("prefix", [""])[0]
                    found = sorted(k for k in service.objects if k.startswith(prefix))
                    rows = (
                        f"<Contents><Key>{escape(k.split('/', 1)[1])}</Key>"
                        f"<Size>{len(service.objects[k])}</Size></Contents>"
                        for k in found
                    )
                    return self.answer(200, f"<ListBucketResult>{''.join(rows)}</ListBucketResult>".encode())
                if key not in service.objects:
                    return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
                return self.get(service.objects[key])

            def get(self, body: bytes) -> None:
                if self.command == "HEAD":
                    return self.answer(200, ETag=_tag(body), Content_Length=str(len(body)))
                asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
                if not asked:
                    service.bytes_out += len(body)
                    return self.answer(200, body, ETag=_tag(body))
                start, end = int(asked[1]), min(int(asked[2] or len(body)), len(body) - 1)
                part = body[start : end + 1]
                service.bytes_out += len(part)
                return self.answer(
                    206, part, ETag=_tag(body), Content_Range=f"bytes {start}-{end}/{len(body)}"
                )

        super().__init__(Playing)


def _tag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
