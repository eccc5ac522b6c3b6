"""What the caller and the environment say: credentials, endpoints, origins, profile and store.

A parameter is checked when it is given, so at construction; a variable is read when it is first needed. An empty
variable counts as unset.
"""
