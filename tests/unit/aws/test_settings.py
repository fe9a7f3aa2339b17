"""The settings of the Lambdas: what is written into a template is what a handler reads."""

import dataclasses

import pytest

from syncline.aws.settings import DataApiDatabase, DirectDatabase, Settings, UserPoolSettings
from syncline.errors import DeveloperError

DATA_API = DataApiDatabase("arn:cluster", "arn:login", "syncline")
DIRECT = DirectDatabase("db.internal", "syncline", "syncline")


def settings_on(database: DataApiDatabase | DirectDatabase) -> Settings:
    return Settings(
        deployment="prod",
        url="https://d1.example",
        redact=True,
        documents_table="documents",
        sessions_table="sessions",
        interest_table="interest",
        control_table="control",
        session_queue_url="https://queue.example/session.fifo",
        follower_queue_url="https://queue.example/follower.fifo",
        tick_queue_url="https://queue.example/tick",
        scheduler_queue_url="https://queue.example/scheduler",
        bucket="bucket",
        gateway_endpoint="https://gateway.example/live",
        admin_secret_arn="arn:admin",
        database=database,
        commit_routine="function",
        hash_seed=17,
    )


@pytest.mark.parametrize("database", [DATA_API, DIRECT])
@pytest.mark.parametrize("redact", [True, False])
def test_settings_are_read_from_the_environment_that_they_write(database, redact):
    settings = dataclasses.replace(settings_on(database), redact=redact)
    assert Settings.from_environment(settings.environment()) == settings


def test_a_user_pool_is_named_whole_or_not_at_all():
    pool = UserPoolSettings("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_1", "client")
    settings = dataclasses.replace(settings_on(DATA_API), user_pool=pool)
    environment = settings.environment()
    assert Settings.from_environment(environment) == settings
    del environment["SYNCLINE_USER_POOL_CLIENT"]
    with pytest.raises(DeveloperError, match="give both or neither"):
        Settings.from_environment(environment)


@pytest.mark.parametrize("database", [DATA_API, DIRECT])
def test_every_variable_is_needed_and_named_when_it_is_missing(database):
    environment = settings_on(database).environment()
    for variable in environment:
        for value in ({}, {variable: ""}):
            rest = {name: text for name, text in environment.items() if name != variable}
            with pytest.raises(DeveloperError, match=r"SYNCLINE_|PYTHONHASHSEED") as raised:
                Settings.from_environment(rest | value)
            # Without a host, the Data API's variables are what is missing.
            if variable != "SYNCLINE_DATABASE_HOST":
                assert variable in raised.value.message


def test_all_missing_variables_are_named_at_once():
    with pytest.raises(DeveloperError) as raised:
        Settings.from_environment({})
    assert "SYNCLINE_BUCKET" in raised.value.message
    assert "SYNCLINE_DATABASE_ARN" in raised.value.message


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SYNCLINE_REDACT", "yes"),
        ("SYNCLINE_COMMIT_ROUTINE", "both"),
        ("SYNCLINE_URL", "d1.example"),
        ("SYNCLINE_URL", "https://d1.example/"),
        ("SYNCLINE_GATEWAY_ENDPOINT", "wss://gateway.example/live"),
        *(("PYTHONHASHSEED", value) for value in ("random", "-1", "4294967296", "\u0661")),
    ],
)
def test_a_value_that_is_none_is_refused_by_name(variable, value):
    environment = settings_on(DATA_API).environment() | {variable: value}
    with pytest.raises(DeveloperError, match=variable):
        Settings.from_environment(environment)


def test_two_ways_to_the_database_are_refused():
    environment = settings_on(DATA_API).environment() | settings_on(DIRECT).environment()
    with pytest.raises(DeveloperError, match="keep one"):
        Settings.from_environment(environment)
