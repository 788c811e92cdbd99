"""The status of an answer: gRPC's codes, and the HTTP codes that TF Serving makes of them."""

# Number, name and HTTP status, as TF Serving 2.x pairs them.
_TABLE = (
    (1, "CANCELLED", 499),
    (2, "UNKNOWN", 500),
    (3, "INVALID_ARGUMENT", 400),
    (4, "DEADLINE_EXCEEDED", 504),
    (5, "NOT_FOUND", 404),
    (6, "ALREADY_EXISTS", 409),
    (7, "PERMISSION_DENIED", 403),
    (8, "RESOURCE_EXHAUSTED", 429),
    (9, "FAILED_PRECONDITION", 400),
    (10, "ABORTED", 409),
    (11, "OUT_OF_RANGE", 400),
    (12, "UNIMPLEMENTED", 501),
    (13, "INTERNAL", 500),
    (14, "UNAVAILABLE", 503),
    (15, "DATA_LOSS", 500),
    (16, "UNAUTHENTICATED", 401),
)
NAMES = {code: name for code, name, _ in _TABLE}
HTTP = {code: http for code, _, http in _TABLE}
INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, INTERNAL = 3, 5, 8, 9, 13


class ServingError(RuntimeError):
    """An answer that is no result: a code of gRPC and a message for the caller."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code
