"""The template language, on the template that is deployed and on what is refused."""

from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.local_cloud.mapping_template import CONTEXT_NAMES, MappingTemplate, TemplateError
from syncline.local_cloud.socket_events import Caller, socket_context
from tests.unit.local_cloud.cloud_world import LANE_TEMPLATE, socket_api

CONTEXT = {
    "connectionId": "a-_5bcdefghijkl=",
    "messageId": "m123456789012345=",
    "requestTimeEpoch": 1_790_000_000_123,
    "identity": {"sourceIp": "192.0.2.1"},
}


def test_the_lanes_template_renders_to_a_request_of_sqs():
    assert MappingTemplate(LANE_TEMPLATE).render("{}", CONTEXT) == (
        "Action=SendMessage"
        "&MessageGroupId=a-_5bcdefghijkl%3D"
        "&MessageDeduplicationId=m123456789012345%3D"
        "&MessageBody=e30%3D"
        "&MessageAttribute.1.Name=at"
        "&MessageAttribute.1.Value.DataType=Number"
        "&MessageAttribute.1.Value.StringValue=1790000000123"
    )


@given(st.text())
def test_what_a_client_writes_is_never_read_as_template_or_as_parameter(body):
    template = MappingTemplate("A=$util.urlEncode($input.body)&B=2")
    rendered = parse_qs(template.render(body, CONTEXT), keep_blank_values=True)
    assert rendered == {"A": [body], "B": ["2"]}


def test_encoding_is_that_of_javas_url_encoder():
    template = MappingTemplate("$util.urlEncode($input.body)")
    assert template.render(" *-._~é/", CONTEXT) == "+*-._%7E%C3%A9%2F"


def test_nested_names_of_the_context_are_found():
    assert MappingTemplate("<$context.identity.sourceIp>").render("", CONTEXT) == "<192.0.2.1>"


def test_the_gateway_has_every_name_of_the_context():
    context = socket_context(socket_api(), Caller("id=", 1.0, "agent"), "MESSAGE", "$default", 2.0)
    for name in CONTEXT_NAMES:
        assert MappingTemplate(f"$context.{name}").render("", context)


@pytest.mark.parametrize(
    "text",
    [
        "$context.stageX",
        "$context.authorizer.user",
        "$context",
        "$input.json('$.type')",
        "$input.path('$')",
        "$input.bodyX",
        "$util.escapeJavaScript($input.body)",
        "$util.urlEncode",
        "$util.urlEncode()",
        "$util.urlEncode('text')",
        "$util.urlEncode($input.body",
        "$util.urlEncode($input.body, $input.body)",
        "$context.stage()",
        "$!context.stage",
        "${context.stage}",
        "$stageVariables.name",
        "#set($x = 1)",
        "#if(true)a#end",
        "a ## comment",
        "costs 5$",
    ],
)
def test_what_is_not_known_is_refused_when_it_is_read(text):
    with pytest.raises(TemplateError, match="which the local gateway does not know"):
        MappingTemplate(f"Action=SendMessage&X={text}")
