"""Keys and signed tokens (JOSE): compact tokens (RFC 7515), keys and key sets (RFC 7517, 7518, 8037).

PyJWT signs one thing, the assertion for Google's token endpoint (`identity.cloud.gcp.service_account`), and
is what the tests compare this room with; it verifies nothing, because its reader accepts texts that two
readers may understand differently (duplicate members, foreign characters in base64): here a text has one
meaning or none.
"""
