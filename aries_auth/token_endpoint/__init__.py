"""The token endpoint: the protocol without I/O, one attempt to send a request, and the attempts in all."""
