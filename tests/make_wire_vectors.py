"""Writes protocol/vectors/{track,segment,visit,correction,receipt,pack,chunk,fence}.json.

    python tests/make_wire_vectors.py

Expected values come from tests/wire_reference.py, cbor2 and cryptography: nothing here imports
ronda_protocol. tests/gateway/test_protocol_wire.py fails when a committed file differs.
"""

import json
from pathlib import Path

import correction_cases
import downlink_cases
import fence_cases
import segment_cases
import track_cases
import visit_cases

VECTORS = Path(__file__).resolve().parents[1] / "protocol" / "vectors"


def files() -> dict[Path, str]:
    """Every file this writes, with its text."""
    vectors = {
        "track": track_cases.track_vectors(),
        "segment": segment_cases.segment_vectors(),
        "visit": visit_cases.visit_vectors(),
        "correction": correction_cases.correction_vectors(),
        "receipt": downlink_cases.receipt_vectors(),
        "pack": downlink_cases.pack_vectors(),
        "chunk": downlink_cases.chunk_vectors(),
        "fence": fence_cases.fence_vectors(),
    }
    return {VECTORS / f"{name}.json": text(content) for name, content in vectors.items()}


def text(content: dict[str, object]) -> str:
    """JSON with one case a line."""
    lines: list[str] = []
    for key, value in content.items():
        if isinstance(value, list) and value:
            items = ",\n  ".join(json.dumps(item, ensure_ascii=False) for item in value)
            lines.append(f" {json.dumps(key)}: [\n  {items}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content, encoding="utf-8")
        print(f"{path.name}: {len(content)} bytes")
