"""Packs, the trust pack's and the cases pack's bodies: vectors both ways, refusals, damage."""

import vectors
from ronda_protocol import bodies, cose, issuing, p256, pack, rounds, signed

unhex = bytes.fromhex
CODES = ("too-big kind version key manifest body length hash trust cases config").split()
HEAP = "1m"
FUZZ = 400
MANIFEST = (
    "pack_type",
    "scope",
    "name",
    "pack_version",
    "not_before",
    "not_after",
    "length",
    "sha256",
    "requires",
)


class Signer:
    """A key of the vectors."""

    def __init__(self, key):
        self.private = unhex(key["private"])
        self.kid = unhex(key["kid"])

    def sign(self, digest):
        return p256.sign(self.private, digest)


def code_of(call, *args):
    """The code of the PackError raised by a call, or None."""
    try:
        call(*args)
    except pack.PackError as error:
        assert str(error) == error.code
        assert error.code in CODES or error.code[:5] in ("cbor-", "cose-"), error.code
        return error.code
    return None


def test_packs():
    content = vectors.load("pack")
    root, gateway = content["keys"]
    for case, key in zip(content["packs"], (root, gateway, gateway)):
        fields = vectors.value(case["fields"])
        values = [fields[name] for name in MANIFEST]
        body = unhex(case["body"])
        manifest = pack.Manifest(*values[:6], requires=values[8])
        data = issuing.seal(manifest, body, Signer(key))
        assert data.hex() == case["file"], case["name"]
        found = pack.parse(data)
        assert found.body == body and found.sign1.payload.hex() == case["payload"]
        assert cose.verify(found.sign1, unhex(key["public"]), p256.verify)
        assert signed.message(found.sign1.payload) == signed.MANIFEST
        names = ["version" if name == "pack_version" else name for name in MANIFEST]
        assert [getattr(found.manifest, name) for name in names] == values, case["name"]
        assert code_of(pack.parse, data, len(data) - 1) == "too-big"


def test_refused_packs():
    content = vectors.load("pack")
    for case in content["refused"]:
        code = code_of(pack.parse, unhex(case["hex"]))
        assert code == case["code"], (case["name"], code)
    for case in content["refused_manifests"]:
        code = code_of(pack.Manifest.parse, unhex(case["payload"]))
        assert code == case["code"], (case["name"], code)


def test_each_type_has_one_role():
    content = vectors.load("pack")
    for pack_type, role in content["roles"]:
        assert pack.role_for(pack_type) == role
    assert len(content["roles"]) == len(pack.TYPE_NAMES) - 1 == pack.FORM
    for bad in (0, 11, -1, True, None, "1"):
        assert code_of(pack.role_for, bad) == "manifest", bad


def test_versions_never_go_back():
    for last, now, version in vectors.load("pack")["versions"]:
        assert issuing.next_version(last, now) == version


def test_trust_bodies():
    case = vectors.load("pack")["trust"]
    root = unhex(case["root"])
    keys = [[unhex(key[0])] + key[1:] for key in case["keys"]]
    body = issuing.encode_trust(root, keys)
    assert body.hex() == case["hex"]
    found_root, found = bodies.decode_trust(body)
    assert found_root == root
    assert found == [[unhex(case["kids"][i])] + keys[i] for i in range(2)]
    for bad in case["refused"]:
        code = code_of(bodies.decode_trust, unhex(bad["hex"]))
        assert code == bad["code"], (bad["name"], code)
    assert code_of(issuing.encode_trust, root, keys + keys[:1]) == "trust"
    assert code_of(issuing.encode_trust, root[:63], keys) == "trust"


def test_cases_bodies():
    case = vectors.load("pack")["cases"]
    whole = (case["round_id"], case["as_of"], case["expires_at"], case["cases"])
    body = issuing.encode_cases(*whole)
    assert body.hex() == case["hex"]
    assert pack.decode_cases(body) == whole
    assert pack.decode_cases(unhex(case["unknown_keys"]))[3] == case["cases"][:1]
    for bad in case["refused"]:
        code = code_of(pack.decode_cases, unhex(bad["hex"]))
        assert code == bad["code"], (bad["name"], code)
    named = dict(case["cases"][0])
    named["creditor"] = "Banco Andino S.A."
    assert pack.decode_cases(issuing.encode_cases("r", 0, 1, [named]))[3] == [named]
    assert code_of(issuing.encode_cases, "r", 0, 1, [named, named]) == "cases"


def test_config_bodies():
    content = vectors.load("pack")["config"]
    names = {key: name for key, name, _ in content["names"]}
    assert names == {key: bodies.CONFIG[key][0] for key in bodies.CONFIG}
    for key, _, holds in content["names"]:
        assert bodies.CONFIG[key][1] == holds
    for case in content["bodies"]:
        found = bodies.decode_config(unhex(case["hex"]))
        assert sorted(found.items()) == [tuple(item) for item in case["settings"]], case["name"]
        plain = {names[key]: value for key, value in case["settings"]}
        if case["name"] != "a later version's":
            assert issuing.encode_config(plain).hex() == case["hex"], case["name"]
    for bad in content["refused"]:
        code = code_of(bodies.decode_config, unhex(bad["hex"]))
        assert code == bad["code"], (bad["name"], code)
    for wrong in ({"sample_s": 0}, {"host": 1}, {"sample_s": "15"}):
        assert code_of(issuing.encode_config, wrong) == "config"


class Piecemeal:
    """A body read a few bytes at a time; `most` is the largest piece asked for."""

    def __init__(self, data, give):
        self.data, self.give, self.most = data, give, 0

    def read(self, n):
        self.most = max(self.most, n)
        found, self.data = self.data[: min(n, self.give)], self.data[min(n, self.give) :]
        return found


def test_cases_are_read_one_by_one_from_any_pieces():
    case = vectors.load("pack")["cases"]
    body = unhex(case["hex"])
    for give in (1, 7, 1000):
        source = Piecemeal(body, give)
        found = list(rounds.read_cases(source.read, len(body)))
        assert found[0] == [case["round_id"], case["as_of"], case["expires_at"], 3]
        assert found[1:] == case["cases"] and source.most <= 256
    # Less than was promised, or more than belongs to it.
    for length in (len(body) - 1, len(body) + 1):
        code = code_of(list, rounds.read_cases(Piecemeal(body + b"x", 100).read, length))
        assert code == ("cbor-truncated" if length < len(body) else "cbor-trailing")
    assert code_of(list, rounds.read_cases(Piecemeal(body, 100).read, 2 * len(body))) == (
        "cbor-trailing"
    )
    # A length that lies does not make it read on and on.
    liar = Piecemeal(b"\xa4\x01\x7a\x00\x0f\xff\xff" + bytes(100000), 256)
    assert code_of(list, rounds.read_cases(liar.read, 100000)) == "cbor-truncated"
    assert len(liar.data) > 90000


def test_the_largest_round():
    case = dict(vectors.load("pack")["cases"]["cases"][0])
    full = []
    for i in range(pack.MAX_CASES):
        full.append(dict(case))
        full[i]["case_id"] = str(i)
    assert len(pack.decode_cases(issuing.encode_cases("r", 0, 1, full))[3]) == pack.MAX_CASES


def test_damaged_packs():
    content = vectors.load("pack")
    chance = vectors.Chance(51)
    good = [unhex(case["file"]) for case in content["packs"]]
    trust, cases = unhex(content["trust"]["hex"]), unhex(content["cases"]["hex"])
    for i in range(FUZZ):
        data = chance.damaged(good[i % 3])
        try:
            found = pack.parse(data)
        except pack.PackError as error:
            assert error.code in CODES or error.code[:5] in ("cbor-", "cose-"), error.code
        else:
            assert found.manifest.length == len(found.body)
        code_of(bodies.decode_trust, chance.damaged(trust))
        code_of(pack.decode_cases, chance.damaged(cases))
        code_of(bodies.decode_config, chance.damaged(b"\xa2\x04\x18\x1e\x08\x18\x96"))
        code_of(pack.Manifest.parse, chance.octets(chance.below(30)))
