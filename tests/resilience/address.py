"""An account's id as people write it: bech32m (BIP 350) of 32 bytes, "hm1...". hypermeshd prints a new node's in hexadecimal."""

LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
BECH32M = 0x2BC830A3


def checksum(values):
    value = 1
    for v in values:
        top = value >> 25
        value = (value & 0x1FFFFFF) << 5 ^ v
        for i, part in enumerate(GENERATOR):
            value ^= part if top >> i & 1 else 0
    return value


def account(digits, prefix="hm"):
    bits = "".join(f"{byte:08b}" for byte in bytes.fromhex(digits))
    data = [int(bits[i:i + 5].ljust(5, "0"), 2) for i in range(0, len(bits), 5)]
    head = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    end = checksum(head + data + [0] * 6) ^ BECH32M
    return prefix + "1" + "".join(LETTERS[v] for v in data + [end >> 5 * (5 - i) & 31 for i in range(6)])
