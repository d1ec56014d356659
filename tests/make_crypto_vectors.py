"""Writes protocol/vectors/{cbor,cose,p256}.json and the comb table of ronda_protocol.p256.

    python tests/make_crypto_vectors.py

Expected values come from cbor2 and cryptography, and from the RFCs named in the files: nothing
here imports ronda_protocol. tests/gateway/test_protocol_crypto.py fails when a committed file
differs from what this writes. The vectors of segments, receipts and packs are made elsewhere.
"""

import json
from pathlib import Path

import cbor_cases
import cose_cases
import p256_cases

PROTOCOL = Path(__file__).resolve().parents[1] / "protocol"


def files() -> dict[Path, str]:
    """Every file this writes, with its text."""
    vectors = {
        "cbor": cbor_cases.vectors(),
        "cose": cose_cases.vectors(),
        "p256": p256_cases.vectors(),
    }
    out = {
        PROTOCOL / "vectors" / f"{name}.json": json.dumps(content, indent=1, ensure_ascii=False)
        + "\n"
        for name, content in vectors.items()
    }
    out[PROTOCOL / "ronda_protocol" / "p256_table.py"] = p256_cases.table_source()
    return out


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(PROTOCOL.parent)}: {len(text)} bytes")
