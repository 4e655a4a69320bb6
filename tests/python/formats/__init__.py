"""A second implementation of the formats, in Python, written from the pages in `transparency/`.

It shares no code with the program. The test vectors are made with it, and the logs the program
writes are read with it. What it takes from others: SHA-256 from Python, Ed25519 from
`cryptography`, scalars of CBOR from `cbor2`, canonical JSON from `rfc8785`.
"""
