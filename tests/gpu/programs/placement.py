"""Open artefacts on a device, by default `auto`, and report where ONNX Runtime placed their nodes, or what went wrong.

Torch has no part in this.
"""

import json
import logging
import sys
from collections import Counter
from pathlib import Path

from cyclegan_edge.runtime.backends import open_backend, ort
from cyclegan_edge.runtime.errors import CycleganError

warned: list[str] = []
handler = logging.Handler(logging.WARNING)
handler.emit = lambda record: warned.append(record.getMessage())
logging.getLogger("cyclegan_edge").addHandler(handler)

product_options = ort._options


def recording(live: bool) -> object:
    """Have a session remember which provider took which node."""
    options = product_options(live)
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return options


ort._options = recording
for path in json.load(sys.stdin):
    warned.clear()
    try:
        backend = open_backend(Path(path), device=(sys.argv[1:] or ["auto"])[0])
    except CycleganError as error:
        print(json.dumps({"path": path, "error": f"{type(error).__name__}: {error}"}), flush=True)  # noqa: T201
        continue
    placed: Counter[str] = Counter()
    if backend.name == "onnxruntime":
        for part in backend._session.get_provider_graph_assignment_info():
            placed[part.ep_name] += len(part.get_nodes())
    captures = backend.name == "onnxruntime" and backend._graphs is not None
    placement = {"path": path, "engine": backend.name, "device": backend.device, "placed": placed, "captures": captures}
    print(json.dumps(placement | {"warned": warned}), flush=True)  # noqa: T201
