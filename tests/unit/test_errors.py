"""The tree of errors: by what the caller should do, and able to travel between processes."""

import pickle

import pytest

from syncline import errors
from syncline.values.value import Int64

BRANCHES = [
    errors.DeveloperError,
    errors.CallerError,
    errors.ConflictError,
    errors.UnavailableError,
    errors.ProtocolError,
    errors.CorruptionError,
]


@pytest.mark.parametrize("kind", BRANCHES)
def test_every_branch_has_a_code_and_a_message(kind):
    error = kind("SomeCode", "What to do.")
    assert isinstance(error, errors.SynclineError)
    assert (error.code, error.message, str(error)) == ("SomeCode", "What to do.", "What to do.")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.code, copy.message) == (kind, "SomeCode", "What to do.")


def test_no_branch_is_another():
    for kind in BRANCHES:
        others = [other for other in BRANCHES if other is not kind]
        assert not issubclass(kind, tuple(others))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("plain", "plain"),
        ({"code": 3, "é": [None, True]}, '{"code":3,"é":[null,true]}'),
        (None, "null"),
        (Int64(7), '"Int64(7)"'),
        ({(1, 2): 3}, "{(1, 2): 3}"),
    ],
)
def test_an_application_error_speaks_by_its_data(data, message):
    error = errors.ApplicationError(data)
    assert error.message == str(error) == message
    assert error.code == "ApplicationError"
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.data, copy.message) == (data, message)
