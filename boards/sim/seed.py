"""The bench's side of the simulated handheld: provisions it, and reads sealed segments back.

Started instead of main.py (`-c "import seed"`). A line of JSON in is one command, a line `@P` with
JSON out is its result, or {"error": code}; ends with its stdin. No simulated time passes.
"""

import json
import sys

import board
import vfs
from handheld import provision, recovery, wipe
from handheld.volumes import Chain
from ronda_protocol import cbor, segment


def _file(path):
    with open(path, "rb") as file:
        return file.read()


def _config(the_board):
    try:
        return cbor.decode(_file(the_board.storage + "/config"))
    except (OSError, ValueError):
        return {}


def do_describe(the_board, _wanted):
    """Who it is: device id, root thumbprint and public key in hex, None where there is none."""
    nv, signer = the_board.nv, the_board.signer
    root = nv.get("root")
    return {
        "device": the_board.ident.device_id,
        "root": root and root.hex(),
        "public": signer and signer.public.hex(),
    }


def do_provision(the_board, wanted):
    """Give it its id, the root's thumbprint and a key; the public key."""
    root = bytes.fromhex(wanted["root"])
    return {"public": provision.provision(the_board, wanted["device"], root).hex()}


def do_configure(the_board, wanted):
    """Change settings, pairs of number and value; the others stay."""
    config = _config(the_board)
    for key, value in wanted["config"]:
        config[key] = value
    provision.configure(the_board, config)
    return {}


def do_install(the_board, wanted):
    """Verify packs in the host's files and put them on flash."""
    cases = wanted.get("cases")
    device = the_board.nv.get("dev").decode()
    provision.install(the_board, device, _file(wanted["trust"]), cases and _file(cases))
    return {}


def do_wipe(the_board, wanted):
    """Destroy the keys and files of debtor data, of the "round" or "all"; the next boot does and
    tells the rest."""
    wipe.destroy(the_board, wipe.ALL if wanted["what"] == "all" else wipe.ROUND)
    return {}


def do_visits(the_board, wanted):
    """Write the sealed visits and corrections of a log, after a seq, to a host's file, each a
    line of hex."""
    folder = the_board.storage + "/log/" + wanted["log"]
    chain = Chain(folder, bytes.fromhex(wanted["log"]), None, the_board)
    recovery.scan(chain)
    count = 0
    with open(wanted["to"], "wb") as out:
        for seq in range(wanted["after"] + 1, chain.head + 1):
            header = chain.header(seq)
            if header and header.body in (segment.VISIT_BODY, segment.CORRECTION_BODY):
                out.write(chain.read(seq).hex().encode() + b"\n")
                count += 1
    return {"visits": count, "head": chain.head, "released": chain.released}


def main():
    """Obey until the host has no more to say."""
    the_board = board.make()
    while True:
        line = sys.stdin.buffer.readline()
        if not line:
            break
        wanted = json.loads(line)
        try:
            result = globals()["do_" + wanted["do"]](the_board, wanted)
        except provision.ProvisionError as error:
            result = {"error": error.code}
        except OSError as error:
            result = {"error": "storage: %s" % error}
        sys.stdout.write("@P " + json.dumps(result) + "\n")
    vfs.umount("/flash")


main()
