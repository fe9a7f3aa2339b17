"""The queues: order, hiding, what happens to messages that fail for good, who takes them."""

import pytest

from infra_tests.assembly import Assembly, Resource

CONSUMERS = {
    "Session": "session",
    "Follower": "follower",
    "Tick": "ticker",
    "Scheduler": "scheduler",
}


def _queue(assembly: Assembly, name: str) -> Resource:
    return assembly.resources[f"Compute/Queues/{name}"]


def test_there_are_these_queues_each_with_its_dead_letters(assembly: Assembly):
    places = {queue.place for queue in assembly.of_kind("AWS::SQS::Queue")}
    assert places == {
        f"Compute/Queues/{name}{suffix}" for name in CONSUMERS for suffix in ("", "DeadLetters")
    }


@pytest.mark.parametrize("name", CONSUMERS)
def test_what_fails_for_good_goes_to_the_dead_letters_and_stays_two_weeks(
    assembly: Assembly, name: str
):
    queue, dead = _queue(assembly, name), _queue(assembly, f"{name}DeadLetters")
    redrive = queue.properties["RedrivePolicy"]
    target = assembly.text("Compute", redrive["deadLetterTargetArn"])
    assert target == f"<{dead.place}.Arn>"
    assert 3 <= redrive["maxReceiveCount"] <= 5
    assert dead.properties["MessageRetentionPeriod"] == 14 * 86_400
    # A dead letter's age counts from when it was sent: it must not be gone on arrival.
    assert queue.properties["MessageRetentionPeriod"] < 14 * 86_400
    assert queue.properties.get("FifoQueue") == dead.properties.get("FifoQueue")


@pytest.mark.parametrize(("name", "consumer"), CONSUMERS.items())
def test_a_message_is_hidden_six_times_as_long_as_its_function_may_take(
    assembly: Assembly, name: str, consumer: str
):
    timeouts = {function: r.properties["Timeout"] for function, r in assembly.functions()}
    queue = _queue(assembly, name)
    assert queue.properties["VisibilityTimeout"] == 6 * timeouts[consumer]
    # Every receive that the redrive policy grants must fit into the message's life.
    redrive = queue.properties["RedrivePolicy"]
    life = queue.properties["MessageRetentionPeriod"]
    assert redrive["maxReceiveCount"] * queue.properties["VisibilityTimeout"] <= life


def test_lanes_and_hints_are_ordered_by_group_and_ticks_can_be_delayed(assembly: Assembly):
    for name in ("Session", "Follower"):
        properties = _queue(assembly, name).properties
        assert properties["FifoQueue"] is True
        assert properties["QueueName"].endswith(".fifo")
        assert properties["DeduplicationScope"] == "messageGroup"
        assert properties["FifoThroughputLimit"] == "perMessageGroupId"
        # The sender chooses ids: equal texts of a client are two messages.
        assert "ContentBasedDeduplication" not in properties
    for name in ("Tick", "Scheduler"):
        assert "FifoQueue" not in _queue(assembly, name).properties


def test_the_largest_message_of_a_client_fits_a_lane(assembly: Assembly):
    in_base64 = (128 * 1024 + 2) // 3 * 4
    assert _queue(assembly, "Session").properties["MaximumMessageSize"] >= in_base64


def test_queues_are_reached_by_tls_only(assembly: Assembly):
    guarded = set()
    for policy in assembly.of_kind("AWS::SQS::QueuePolicy"):
        (statement,) = assembly.policy(policy, "PolicyDocument")
        assert statement.effect == "Deny"
        assert '"aws:SecureTransport": "false"' in statement.conditions
        guarded |= {assembly.text("Compute", queue) for queue in policy.properties["Queues"]}
    assert guarded == {f"<{queue.place}>" for queue in assembly.of_kind("AWS::SQS::Queue")}


def _mappings(assembly: Assembly) -> dict[str, Resource]:
    return {
        assembly.of(mapping, "EventSourceArn"): mapping
        for mapping in assembly.of_kind("AWS::Lambda::EventSourceMapping")
    }


@pytest.mark.parametrize(("name", "consumer"), CONSUMERS.items())
def test_each_queue_is_taken_by_its_function_alone(assembly: Assembly, name: str, consumer: str):
    mappings = _mappings(assembly)
    assert len(mappings) == len(CONSUMERS)
    mapping = mappings[f"<Compute/Queues/{name}.Arn>"]
    assert f"<Compute/{consumer.title()}/" in assembly.of(mapping, "FunctionName")
    assert mapping.properties["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_a_lane_s_function_takes_as_many_messages_as_fifo_queues_give(assembly: Assembly):
    mapping = _mappings(assembly)["<Compute/Queues/Session.Arn>"]
    assert mapping.properties["BatchSize"] == 10
    # FIFO queues have no batching window (aws-facts 5.3).
    assert "MaximumBatchingWindowInSeconds" not in mapping.properties


def test_concurrency_is_bounded_as_chosen(default: Assembly, other: Assembly):
    def bound(assembly: Assembly) -> int:
        mapping = _mappings(assembly)["<Compute/Queues/Session.Arn>"]
        return mapping.properties["ScalingConfig"]["MaximumConcurrency"]

    assert (bound(default), bound(other)) == (100, 20)
    reserved = {
        name: function.properties["ReservedConcurrentExecutions"]
        for name, function in other.functions()
        if "ReservedConcurrentExecutions" in function.properties
    }
    assert reserved == {"session": 50}
    for _, function in default.functions():
        assert "ReservedConcurrentExecutions" not in function.properties


def test_the_sweeper_is_called_every_minute_and_not_again_when_it_fails(assembly: Assembly):
    rule = assembly.resources["Compute/Minute"]
    assert rule.properties["ScheduleExpression"] == "rate(1 minute)"
    (target,) = rule.properties["Targets"]
    assert assembly.text("Compute", target["Arn"]) == "<Compute/Sweeper/Function.Arn>"
    assert target["RetryPolicy"]["MaximumRetryAttempts"] == 0


def test_files_are_swept_every_hour(assembly: Assembly):
    rule = assembly.resources["Compute/Hour"]
    assert rule.properties["ScheduleExpression"] == "rate(1 hour)"
    (target,) = rule.properties["Targets"]
    assert assembly.text("Compute", target["Arn"]).startswith("<Compute/Http/")
    assert target["RetryPolicy"]["MaximumRetryAttempts"] == 0
