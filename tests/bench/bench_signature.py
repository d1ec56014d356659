"""ES256 in plain MicroPython bytecode."""

from figures import Figure, in_vm

TITLE = "Signature on the handheld (in the VM, plain bytecode)"


def measure(quick: bool) -> list[Figure]:
    """Milliseconds here; an ESP32 is about forty times slower (trust.md: sign 0.1 s)."""
    found = in_vm("bench_p256", 2 if quick else 60)
    return [
        Figure("a signature", found["sign_ms"], "ms"),
        Figure("its modular multiplications of 256 bits", found["sign_modmuls"], "", "≤ 1,000"),
        Figure("a verification", found["verify_ms"], "ms"),
        Figure("its modular multiplications", found["verify_modmuls"]),
    ]
